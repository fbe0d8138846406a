"""The REST API, version 1."""

from django.urls import include, path

urlpatterns = [
    path("", include("tenants.api_urls")),
    path("", include("blocks.api_urls")),
    path("", include("runs.api.urls")),
]
