"""The REST API, version 1."""

from django.urls import include, path, re_path

from tenants.api import NoSuchAddress

urlpatterns = [
    path("", include("tenants.api_urls")),
    path("", include("blocks.api.urls")),
    path("", include("runs.api.urls")),
    re_path("", NoSuchAddress.as_view(), name="api-no-such-address"),
]
