"""The addresses of the staff's admin, below its door."""

from django.urls import path

from orchestrator.server.admin.staff import site

urlpatterns = [path("", site.urls)]
