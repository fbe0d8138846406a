"""The REST API, version 1."""

from django.urls import include, path, re_path

from orchestrator.server import api_docs
from tenants.api import NoSuchAddress

urlpatterns = [
    path("openapi.json", api_docs.file, {"form": "json"}, name="openapi-json"),
    path("openapi.yaml", api_docs.file, {"form": "yaml"}, name="openapi-yaml"),
    path("", include("tenants.api_urls")),
    path("", include("blocks.api.urls")),
    path("", include("runs.api.urls")),
    re_path("", NoSuchAddress.as_view(), name="api-no-such-address"),
]
