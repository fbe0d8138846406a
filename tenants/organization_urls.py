"""Pages of an organization. Their first words are reserved: no workspace has such a slug."""

from django.urls import path

from tenants import audit_views
from tenants.sso import page as sso

urlpatterns = [
    path("audit", audit_views.index, name="organization-audit"),
    path("audit/export", audit_views.export, name="organization-audit-export"),
    path("sso", sso.index, name="organization-sso"),
    path("sso/newcomers", sso.newcomers, name="organization-sso-newcomers"),
    path("sso/switch", sso.switch, name="organization-sso-switch"),
    path("sso/domains", sso.add_domain, name="organization-sso-domains"),
    path("sso/domains/<uuid:id>/check", sso.check_domain, name="organization-sso-domain-check"),
    path("sso/domains/<uuid:id>/remove", sso.remove_domain, name="organization-sso-domain-remove"),
    path("sso/links/<uuid:id>/remove", sso.unlink, name="organization-sso-unlink"),
]
