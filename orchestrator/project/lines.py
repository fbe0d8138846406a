"""YAML as plain values, and on which line each of them stands, so that an error can name it.

`${NAME}` in a text is the variable of this name, `${NAME:-text}` the text where there is none, `$${` a plain `${`.
Within quotes it stays a text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.exceptions import ProjectError

MAX_BYTES = 1 << 20
MAX_NODES = 50_000
MAX_DEPTH = 50
_VARIABLE = re.compile(r"\$(?:\$\{|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<otherwise>[^}]*))?\})")
_TAG = "tag:yaml.org,2002:"
_TEXTS = ("str", "timestamp")
_PLAIN = ("int", "float", "bool", "null")


class Lines:
    """On which lines of a file its values stand, by places such as `deployments[0].name`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._of: dict[str, int] = {}

    def note(self, place: str, line: int) -> None:
        """Keep where a value begins; a key's line goes before that of its value."""
        self._of.setdefault(place, line)

    def of(self, place: str) -> int:
        """The line of a place, or of the nearest around it."""
        while place and place not in self._of:
            place = re.sub(r"(^|\.)[^.\[]*$|\[[^\[]*\]$", "", place)
        return self._of.get(place, 1)

    def wrong(self, place: str, what: str) -> ProjectError:
        """An error that names the line."""
        return ProjectError(f"{self.path}:{self.of(place)}: {place}: {what}" if place else f"{self.path}: {what}")


def read_yaml(path: Path, variables: Mapping[str, str]) -> tuple[Any, Lines]:
    """The values of a file, and their lines.

    Raises:
        ProjectError: It can't be read, is no YAML, is too large, or names a variable that there is not.
    """
    import yaml

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ProjectError(f"{path} has more than {MAX_BYTES >> 20} MiB.")
        root = yaml.compose(content.decode(), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ProjectError(f"{path} can't be read: {error.strerror}. `orchestrator init` makes one.") from None
    except UnicodeDecodeError:
        raise ProjectError(f"{path} is no text in UTF-8.") from None
    except yaml.YAMLError as error:
        raise ProjectError(_no_yaml(path, error)) from None
    except RecursionError:
        raise ProjectError(f"{path} is nested too deeply.") from None
    lines = Lines(path)
    return (None if root is None else _Values(lines, variables).of(root, "", 0)), lines


def _no_yaml(path: Path, error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark is not None else ""
    what = getattr(error, "problem", None) or str(error)
    alias = "alias" in (getattr(error, "context", None) or "")
    hint = " A text that begins with * goes into quotes." if alias else ""
    return f"{path}{line}: this is no YAML: {what}.{hint}"


class _Values:
    """Makes values of YAML's nodes."""

    def __init__(self, lines: Lines, variables: Mapping[str, str]) -> None:
        self._lines, self._variables = lines, variables
        self._nodes = 0

    def of(self, node: Any, place: str, depth: int) -> Any:
        self._nodes += 1
        # An alias counts each time that it is used: few bytes may stand for very many values.
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise self._wrong(node, place, "This is too much, or too deep.")
        self._lines.note(place, node.start_mark.line + 1)
        if node.id == "sequence":
            return [self.of(each, f"{place}[{number}]", depth + 1) for number, each in enumerate(node.value)]
        return self._mapping(node, place, depth) if node.id == "mapping" else self._scalar(node, place)

    def _mapping(self, node: Any, place: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if key.id != "scalar":
                raise self._wrong(key, place, "A key is a text.")
            name = key.value
            if name in found:
                raise self._wrong(key, place, f"{name!r} stands here twice.")
            at = f"{place}.{name}" if place else name
            self._lines.note(at, key.start_mark.line + 1)
            found[name] = self.of(value, at, depth + 1)
        return found

    def _scalar(self, node: Any, place: str) -> Any:
        import yaml

        loader = yaml.SafeLoader("")
        kind = node.tag.removeprefix(_TAG)
        if kind in _TEXTS:
            text = _VARIABLE.sub(lambda match: self._variable(match, node, place), node.value)
            if node.style is not None or text == node.value:
                return text
            # What stands there without quotes may be a number, as if it had been written there.
            tag = loader.resolve(yaml.ScalarNode, text, (True, False))
            if tag.removeprefix(_TAG) not in _PLAIN:
                return text
            node = yaml.ScalarNode(tag, text, node.start_mark, node.end_mark)
        elif kind not in _PLAIN:
            raise self._wrong(node, place, f"{node.tag} is not taken.")
        try:
            return loader.construct_object(node)
        except ValueError as error:
            raise self._wrong(node, place, str(error)) from None

    def _variable(self, match: re.Match[str], node: Any, place: str) -> str:
        if match["name"] is None:
            return "${"
        if match["name"] in self._variables:
            return self._variables[match["name"]]
        if match["otherwise"] is None:
            what = f"There is no variable {match['name']} in the environment. ${{{match['name']}:-…}} gives a default."
            raise self._wrong(node, place, what)
        return match["otherwise"]

    def _wrong(self, node: Any, place: str, what: str) -> ProjectError:
        line = node.start_mark.line + 1
        return ProjectError(f"{self._lines.path}:{line}: {place + ': ' if place else ''}{what}")
