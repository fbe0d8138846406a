"""Pages of a workspace: runs, deployments, pools. Names that begin with `_` are fragments of pages."""

from django.urls import path
from django.views.generic import RedirectView

from runs.views import deployments, jump, runs

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="runs"), name="workspace"),
    path("runs", runs.index, name="runs"),
    path("runs/_list", runs.rows, name="runs-rows"),
    path("runs/<uuid:id>", runs.detail, name="run"),
    path("runs/<uuid:id>/_run", runs.head, name="run-head"),
    path("runs/<uuid:id>/_tasks", runs.tasks, name="run-tasks"),
    path("runs/<uuid:id>/_tasks/<uuid:task_id>", runs.task, name="run-task"),
    path("runs/<uuid:id>/timeline", runs.timeline, name="run-timeline"),
    path("runs/<uuid:id>/log", runs.log, name="run-log"),
    path("runs/<uuid:id>/cancel", runs.cancel, name="run-cancel"),
    path("runs/<uuid:id>/again", runs.again, name="run-again"),
    path("jump", jump.jump, name="jump"),
    path("deployments", deployments.index, name="deployments"),
    path("deployments/_list", deployments.rows, name="deployments-rows"),
    path("deployments/<uuid:id>", deployments.detail, name="deployment"),
    path("deployments/<uuid:id>/_deployment", deployments.history, name="deployment-history"),
    path("deployments/<uuid:id>/run", deployments.run, name="deployment-run"),
    path("deployments/<uuid:id>/pause", deployments.pause, name="deployment-pause"),
    path("deployments/<uuid:id>/resume", deployments.resume, name="deployment-resume"),
    path("pools", deployments.pools, name="pools"),
    path("pools/_list", deployments.pool_rows, name="pools-rows"),
]
