"""Pages of an organization. Their first words are reserved: no workspace has such a slug."""

from django.urls import path

from tenants import audit_views

urlpatterns = [
    path("audit", audit_views.index, name="organization-audit"),
    path("audit/export", audit_views.export, name="organization-audit-export"),
]
