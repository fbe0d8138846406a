#!/usr/bin/env python
"""Run a management command. `--data-dir DIR` on any command says which embedded stack is meant."""

import os
import sys


def take_data_dir(argv: list[str]) -> list[str]:
    """Move `--data-dir DIR` from the arguments to the environment, where the settings read it."""
    rest: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        if argument == "--data-dir":
            directory = next(arguments, None)
            if directory is None:
                sys.exit("--data-dir needs a directory")
        elif argument.startswith("--data-dir="):
            directory = argument.partition("=")[2]
        else:
            rest.append(argument)
            continue
        os.environ["ORCHESTRATOR_DATA_DIR"] = os.path.abspath(directory)
    return rest


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator.server.settings")
    sys.argv = take_data_dir(sys.argv)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
