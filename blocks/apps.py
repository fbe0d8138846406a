"""Named, typed settings."""

from django.apps import AppConfig


class BlocksConfig(AppConfig):
    name = "blocks"

    def ready(self) -> None:
        """Let what tenants offer know its users."""
        from blocks import moving  # noqa: F401 - blocks go along with their workspace
