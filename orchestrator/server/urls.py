"""Every address of the portal and the API."""

from django.conf import settings
from django.urls import include, path

from orchestrator.server import api_docs, health
from orchestrator.server.admin import doors
from runs.views import hooks, input_links

urlpatterns = [
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("api/docs", api_docs.page, name="reference"),
    path("api/docs/<slug:subject>", api_docs.page, name="reference-subject"),
    path("api/v1/", include("orchestrator.server.api_urls")),
    path("", include("allauth.account.urls")),
    path("second-factor/", include("allauth.mfa.urls")),
    path("sessions/", include("allauth.usersessions.urls")),
    path("social/", include("allauth.socialaccount.urls")),
    *[
        path("social/", include(f"allauth.socialaccount.providers.{name}.urls"))
        for name in settings.SOCIALACCOUNT_PROVIDERS
    ],
    path("", include("tenants.urls")),
    path("hooks/<str:token>", hooks.hook, name="hook"),
    path("waiting/<str:token>", input_links.follow, name="input-link"),
    path("admin/", doors.staff, {"rest": ""}, name="staff-admin"),
    path("admin/<path:rest>", doors.staff, name="staff-admin-page"),
    path("o/<slug:organization>/admin/", doors.organization, {"rest": ""}, name="organization-admin"),
    path("o/<slug:organization>/admin/<path:rest>", doors.organization, name="organization-admin-page"),
    path("o/<slug:organization>/", include("tenants.organization_urls")),
    path("o/<slug:organization>/", include("runs.organization_urls")),
    path("o/<slug:organization>/<slug:workspace>/", include("tenants.workspace_urls")),
    path("o/<slug:organization>/<slug:workspace>/", include("blocks.urls")),
    path("o/<slug:organization>/<slug:workspace>/", include("runs.urls")),
]
