"""The addresses of an organization's admin, below its door."""

from django.urls import path

from orchestrator.server.admin import blocks, deployments, variables  # noqa: F401 - they register themselves
from orchestrator.server.admin.organization import site

urlpatterns = [path("", site.urls)]
