"""Blocks that are one value."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from orchestrator.blocks.block import Block
from orchestrator.blocks.fields import SecretValue


class Secret(Block):
    """A secret value: a password, a token, or any other JSON value.

    >>> Secret(value="hunter2").get()
    'hunter2'
    >>> Secret(value={"user": "bot", "password": "hunter2"})
    Secret(value=SecretValue('**********'))
    """

    _icon = "lock"

    value: SecretValue

    def get(self) -> Any:
        """The value in clear."""
        return self.value.get_secret_value()


class JSON(Block):
    """Any JSON value that is no secret.

    >>> JSON(value={"regions": ["eu", "us"]}).value["regions"]
    ['eu', 'us']
    """

    _icon = "var"

    value: Any = Field(description="Any JSON value.")
