"""Pages of an organization. Their first words are reserved: no workspace has such a slug."""

from django.urls import path

from tenants import audit_views
from tenants.roles import views as roles
from tenants.sso import page as sso
from tenants.teams import views as teams
from tenants.views import billing, exports, invitations, keys, moves, organization, people

urlpatterns = [
    path("audit", audit_views.index, name="organization-audit"),
    path("audit/export", audit_views.export, name="organization-audit-export"),
    path("billing", billing.index, name="organization-billing"),
    path("billing/plan", billing.change_plan, name="organization-billing-plan"),
    path("billing/limit", billing.change_limit, name="organization-billing-limit"),
    path("billing/details", billing.change_details, name="organization-billing-details"),
    path("billing/invoices/<int:number>.pdf", billing.invoice, name="organization-invoice"),
    path("sso", sso.index, name="organization-sso"),
    path("sso/newcomers", sso.newcomers, name="organization-sso-newcomers"),
    path("sso/switch", sso.switch, name="organization-sso-switch"),
    path("sso/domains", sso.add_domain, name="organization-sso-domains"),
    path("sso/domains/<uuid:id>/check", sso.check_domain, name="organization-sso-domain-check"),
    path("sso/domains/<uuid:id>/remove", sso.remove_domain, name="organization-sso-domain-remove"),
    path("sso/links/<uuid:id>/remove", sso.unlink, name="organization-sso-unlink"),
    path("people", people.index, name="organization-people"),
    path("people/invite", invitations.new, name="organization-invite"),
    path("people/leave", people.leave, name="organization-leave"),
    path("people/<uuid:id>", people.person, name="organization-person"),
    path("people/<uuid:id>/remove", people.remove, name="organization-person-remove"),
    path("people/<uuid:id>/hand-over", people.hand_over, name="organization-hand-over"),
    path("people/invitations/<uuid:id>/again", invitations.send_again, name="organization-invitation-again"),
    path("people/invitations/<uuid:id>/revoke", invitations.revoke, name="organization-invitation-revoke"),
    path("teams", teams.index, name="organization-teams"),
    path("teams/<uuid:id>", teams.team, name="organization-team"),
    path("teams/<uuid:id>/people", teams.add, name="organization-team-add"),
    path("teams/<uuid:id>/people/<uuid:person>/remove", teams.remove, name="organization-team-remove"),
    path("teams/<uuid:id>/workspaces", teams.parts, name="organization-team-parts"),
    path("teams/<uuid:id>/delete", teams.delete, name="organization-team-delete"),
    path("roles", roles.index, name="organization-roles"),
    path("roles/new", roles.new, name="organization-role-new"),
    path("roles/<uuid:id>", roles.role, name="organization-role"),
    path("roles/<uuid:id>/delete", roles.delete, name="organization-role-delete"),
    path("keys", keys.index, name="organization-keys"),
    path("keys/new", keys.new, name="organization-key-new"),
    path("keys/<uuid:id>/rotate", keys.rotate, name="organization-key-rotate"),
    path("keys/<uuid:id>/revoke", keys.revoke, name="organization-key-revoke"),
    path("settings", organization.edit, name="organization-settings"),
    path("settings/export", exports.ask, name="organization-export"),
    path("settings/export/<uuid:id>.zip", exports.download, name="organization-export-download"),
    path("settings/delete", organization.delete, name="organization-delete"),
    path(
        "settings/workspaces/<uuid:id>/restore", organization.restore_workspace, name="organization-restore-workspace"
    ),
    path("settings/workspaces/<uuid:id>/move", moves.move, name="organization-move-workspace"),
    path("new", organization.new_workspace, name="organization-new-workspace"),
]
