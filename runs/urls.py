"""Pages of a workspace: dashboard, runs, deployments, pools. Names that begin with `_` are fragments of pages."""

from django.urls import path
from django.views.decorators.http import conditional_page

from runs.views import dashboard, deployments, jump, pools, quarantine, runs, welcome

urlpatterns = [
    path("", dashboard.index, name="dashboard"),
    path("_now", conditional_page(dashboard.now), name="dashboard-now"),
    path("welcome", welcome.index, name="welcome"),
    path("welcome/_steps", conditional_page(welcome.steps), name="welcome-steps"),
    path("welcome/key", welcome.key, name="welcome-key"),
    path("runs", runs.index, name="runs"),
    path("runs/_list", conditional_page(runs.rows), name="runs-rows"),
    path("runs/<uuid:id>", runs.detail, name="run"),
    path("runs/<uuid:id>/_run", conditional_page(runs.head), name="run-head"),
    path("runs/<uuid:id>/_tasks", conditional_page(runs.tasks), name="run-tasks"),
    path("runs/<uuid:id>/_tasks/<uuid:task_id>", runs.task, name="run-task"),
    path("runs/<uuid:id>/timeline", conditional_page(runs.timeline), name="run-timeline"),
    path("runs/<uuid:id>/log", runs.log, name="run-log"),
    path("runs/<uuid:id>/cancel", runs.cancel, name="run-cancel"),
    path("runs/<uuid:id>/again", runs.again, name="run-again"),
    path("jump", jump.jump, name="jump"),
    path("deployments", deployments.index, name="deployments"),
    path("deployments/_list", conditional_page(deployments.rows), name="deployments-rows"),
    path("deployments/<uuid:id>", deployments.detail, name="deployment"),
    path("deployments/<uuid:id>/_deployment", conditional_page(deployments.history), name="deployment-history"),
    path("deployments/<uuid:id>/run", deployments.run, name="deployment-run"),
    path("deployments/<uuid:id>/pause", deployments.pause, name="deployment-pause"),
    path("deployments/<uuid:id>/resume", deployments.resume, name="deployment-resume"),
    path("pools", pools.index, name="pools"),
    path("pools/_list", conditional_page(pools.rows), name="pools-rows"),
    path("quarantine", quarantine.index, name="quarantine"),
    path("quarantine/replay", quarantine.replay, name="quarantine-replay"),
    path("quarantine/drop", quarantine.drop, name="quarantine-drop"),
    path("agents/<uuid:id>", pools.agent, name="agent"),
    path("agents/<uuid:id>/_now", conditional_page(pools.agent_now), name="agent-now"),
    path("agents/<uuid:id>/log", pools.agent_log, name="agent-log"),
]
