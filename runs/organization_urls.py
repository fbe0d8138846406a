"""Pages of an organization that show runs."""

from django.urls import path

from runs.views import usage

urlpatterns = [
    path("usage", usage.index, name="organization-usage"),
    path("usage/export", usage.export, name="organization-usage-export"),
]
