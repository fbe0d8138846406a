"""What to run, and what happened."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        """Let what tenants and blocks offer know its users."""
        from runs import (
            agents,  # noqa: F401 - new workspaces begin with a pool
            departures,  # noqa: F401 - who leaves leaves runs behind
            deployment_names,  # noqa: F401 - rules of access name them
            live,  # noqa: F401 - open sockets hear of changed rights
            moving,  # noqa: F401 - a workspace that moves takes its work along
            takeaway,  # noqa: F401 - exports have runs in them
        )
        from runs.automations import edit  # noqa: F401 - automations tell by blocks
        from runs.reads import block_users  # noqa: F401 - deployments use blocks
