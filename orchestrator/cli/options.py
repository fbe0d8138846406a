"""Options that several commands have, and which of them were given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

Command = TypeVar("Command", bound=Callable[..., Any])


def together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Options that several commands have, as one decorator; help lists them in this order."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def given_options(is_meant: Callable[[str], bool]) -> list[str]:
    """The options of the present command, of those whose names are meant, that its caller has given: `--at`."""
    context = click.get_current_context()
    return [
        option.opts[-1]
        for option in context.command.params
        if is_meant(name := option.name or "") and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
