"""`make docs`: write docs/cli.md, every command with its options, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from orchestrator.cli.root import cli

TABLE = Path(__file__).parent / "cli.md"

HEAD = """# The command line

`orchestrator` comes with the SDK. It asks the API of `ORCHESTRATOR_API_URL` and `ORCHESTRATOR_API_KEY`, or of the
profile that `orchestrator login` wrote; `orchestrator config` shows which, and why.

- `-o json` prints what the API answered, for programs; tables are for people. Colours only on a terminal, and not where
  `NO_COLOR` is set.
- Exit codes: 0 all went well; 1 the API or the machine refused, with one line on standard error; 2 the command was not
  understood; 3 a watched run ended otherwise than COMPLETED.
- `eval "$(orchestrator completion bash)"` completes commands and options in your shell (zsh and fish too).

"""


def text() -> str:
    """The document."""
    return HEAD + "\n".join(_section(path, command) for path, command in _commands(cli, ""))


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        own = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from _commands(command, own)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield own, command


def _section(path: str, command: click.Command) -> str:
    arguments = [
        part.make_metavar(click.Context(command)) for part in command.params if part.param_type_name == "argument"
    ]
    lines = [f"## orchestrator {' '.join([path, *arguments])}", "", _told(command)]
    options = [part for part in command.params if isinstance(part, click.Option) and not part.hidden]
    if options:
        lines += ["", *(f"- {_option(option)}" for option in options)]
    return "\n".join(lines) + "\n"


def _told(command: click.Command) -> str:
    """What its help says; paragraphs that are to stay as they are become code."""
    parts = []
    for part in (command.help or "").replace("\r", "").split("\n\n"):
        verbatim = part.lstrip().startswith("\b")
        parts.append(f"```\n{part.replace(chr(8), '').strip()}\n```" if verbatim else part.strip())
    return "\n\n".join(parts)


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return f"{names}: {option.help or ''}".rstrip(": ")


if __name__ == "__main__":
    TABLE.write_text(text(), encoding="utf-8")
