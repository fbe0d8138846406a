"""What to run, and what happened."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"
