"""Named, typed settings."""

from django.apps import AppConfig


class BlocksConfig(AppConfig):
    name = "blocks"
