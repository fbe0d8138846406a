"""`orchestrator completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what lets a shell complete commands and options.

    \b
    bash:  eval "$(orchestrator completion bash)"   in ~/.bashrc
    zsh:   eval "$(orchestrator completion zsh)"    in ~/.zshrc
    fish:  orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    root = click.get_current_context().find_root()
    click.echo(made(root.command, {}, "orchestrator", "_ORCHESTRATOR_COMPLETE").source())
