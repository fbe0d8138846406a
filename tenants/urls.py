"""The way in, and what belongs to no organization yet."""

from django.urls import path

from tenants.sso import views as sso
from tenants.views import account, home, invitations, organization

urlpatterns = [
    path("", home.home, name="home"),
    path("login/sso", sso.ask, name="sso-ask"),
    path("sso/<uuid:id>/login", sso.login, name="sso-login"),
    path("sso/<uuid:id>/test", sso.test, name="sso-test"),
    path("sso/<uuid:id>/callback", sso.callback, name="sso-callback"),
    path("sso/<uuid:id>/acs", sso.acs, name="sso-acs"),
    path("sso/<uuid:id>/finish", sso.finish, name="sso-finish"),
    path("sso/<uuid:id>/metadata", sso.saml_metadata, name="sso-saml"),
    path("sso/<uuid:id>/break-glass", sso.break_glass, name="sso-break-glass"),
    path("account", account.edit, name="account"),
    path("organizations/new", organization.new, name="new-organization"),
    path("organizations/<uuid:id>/restore", organization.restore, name="restore-organization"),
    path("invitations/<str:token>", invitations.follow, name="invitation"),
]
