"""Pages of an organization that show runs."""

from django.urls import path

from runs.views import organization_limits, usage

urlpatterns = [
    path("limit", organization_limits.edit, name="organization-limit"),
    path("usage", usage.index, name="organization-usage"),
    path("usage/export", usage.export, name="organization-usage-export"),
]
