"""Pages of a workspace that are about itself."""

from django.urls import path

from tenants.views import workspace

urlpatterns = [
    path("settings", workspace.edit, name="workspace-settings"),
    path("settings/people", workspace.assign, name="workspace-people"),
    path("settings/teams", workspace.assign_team, name="workspace-teams"),
    path("settings/delete", workspace.delete, name="workspace-delete"),
]
