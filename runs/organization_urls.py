"""Pages of an organization that show runs."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
