"""People, organizations, workspaces, rights."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from tenants import account_trail  # noqa: F401 - it listens to allauth
