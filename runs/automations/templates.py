"""Texts of notifications, parameters of runs: Jinja2 in a sandbox of its own, with bounds on what it may cost.

A template knows the values of what happened and a few filters. What could grow or run for long is not there at all:
calls, assignments, macros, multiplication; every value that a filter or an addition makes is bounded, and so is the
whole text. The sandbox of Jinja2 alone leaves a worker to `{{ "x" * 10**9 }}`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache, wraps
from itertools import islice
from typing import Any

from jinja2 import Undefined, nodes, pass_eval_context
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.filters import do_round, do_tojson
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_SOURCE = 4_000  # characters
MAX_TEXT = 16 << 10  # characters
MAX_VALUE = 1 << 20  # characters in all that a list holds, before it becomes a text
MAX_PLACES = 20  # of a number that is rounded
MAX_SECONDS = 1.0
MAX_LOOPS = 2  # within one another
MAX_ROUNDS = 50  # of each
MAX_DEPTH = 40  # of a tree of expressions
VALUES = (
    "headline", "event", "at", "count", "more", "what", "automation", "automation_url", "workspace", "run", "flow",
    "deployment", "state", "message", "attempt", "agent", "pool", "url", "resource", "payload",
)  # fmt: skip
RUN_VALUES = (
    "event", "event_id", "at", "resource", "payload", "run", "run_id", "flow", "deployment", "state", "message",
    "attempt", "agent", "pool", "url", "headline", "automation",
)  # fmt: skip
"""Of an automation that triggers a run, which is about one event."""
FILTERS = (
    "abs", "capitalize", "default", "d", "e", "escape", "first", "float", "int", "last", "length", "count", "list",
    "lower", "round", "sort", "string", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode",
)  # fmt: skip

DEFAULT_SUBJECT = "{{ headline }}"
DEFAULT_BODY = """{% if count == 1 -%}
{{ headline }}
{%- if message %}

{{ message }}
{%- endif %}
{%- if url %}

{{ url }}
{%- endif %}
{%- else -%}
{{ headline }}
{% for each in what %}
- {{ each.headline }}{% if each.message %}: {{ each.message|truncate(200) }}{% endif %}{% if each.url %}
  {{ each.url }}{% endif %}
{%- endfor %}
{%- if more %}

… and {{ more }} more.
{%- endif %}
{%- endif %}

The automation “{{ automation }}” of {{ workspace }} sent this: {{ automation_url }}
"""

_LOOP_WORDS = frozenset({"index", "index0", "first", "last", "length", "revindex", "revindex0"})
_FORBIDDEN: dict[type[nodes.Node], str] = {
    nodes.Call: "Calls are not possible here.",
    nodes.CallBlock: "Calls are not possible here.",
    nodes.Macro: "Macros are not possible here.",
    nodes.Assign: "set is not possible here.",
    nodes.AssignBlock: "set is not possible here.",
    nodes.With: "with is not possible here.",
    nodes.FilterBlock: "Filter blocks are not possible here.",
    nodes.Include: "Other templates can't be included.",
    nodes.Import: "Other templates can't be included.",
    nodes.FromImport: "Other templates can't be included.",
    nodes.Extends: "Other templates can't be extended.",
    nodes.Block: "Blocks are not possible here.",
    nodes.Mul: "Multiplication is not possible here.",
    nodes.Pow: "Powers are not possible here.",
    nodes.Mod: "% is not possible here.",
    nodes.Concat: "~ is not possible here; write the values one after the other.",
}


class BadTemplate(Exception):
    """A template can't be read or rendered. The message is for the person who wrote it."""


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        return _bounded(super().call_binop(context, operator, left, right))

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Values of dictionaries and lists, and the words of a loop: nothing that Python objects have besides."""
        if isinstance(obj, LoopContext) and argument in _LOOP_WORDS:
            return getattr(obj, argument)
        if not isinstance(obj, dict | list | tuple | str):
            return self.undefined(obj=obj, name=argument)
        try:
            return _bounded(obj[argument])
        except (KeyError, IndexError, TypeError):
            return self.undefined(obj=obj, name=argument)


_until: ContextVar[float] = ContextVar("template_until", default=0.0)


def _bounded(value: Any) -> Any:
    if time.monotonic() > _until.get():
        raise SecurityError("The template takes too long.")
    if isinstance(value, str | list | tuple) and len(value) > MAX_TEXT:
        raise SecurityError(f"A value has more than {MAX_TEXT:,} characters.")
    if isinstance(value, int) and value.bit_length() > 256:
        raise SecurityError("A number is too large.")
    return value


def _measured(value: Any) -> Any:
    """Bounded with all that is in it: a list may hold the same long text many times."""
    pending, length = [_bounded(value)], 0
    while pending:
        each = pending.pop()
        length += len(each) if isinstance(each, str) else 1
        if length > MAX_VALUE:
            raise SecurityError(f"A value has more than {MAX_VALUE:,} characters.")
        if isinstance(each, list | tuple):
            pending.extend(each)
        elif isinstance(each, dict):
            pending.extend(each.values())
    return value


def _with_bounds(filter: Callable[..., Any]) -> Callable[..., Any]:
    """Values are measured before a filter sees them: some do all their work in one step."""

    @wraps(filter)
    def bounded(*values: Any, **options: Any) -> Any:
        for value in (*values, *options.values()):
            _measured(value)
        return _bounded(filter(*values, **options))

    return bounded


def _sandbox() -> _Sandbox:
    found = _Sandbox(
        autoescape=False, keep_trailing_newline=False, undefined=Undefined, cache_size=0, finalize=_measured
    )
    known = found.filters | {"round": _round, "tojson": _tojson}
    found.filters = {name: _with_bounds(known[name]) for name in FILTERS} | {"join": _join, _FEW: _few}
    found.globals = {}
    return found


_FEW = "few"  # put around what every loop goes through


def _few(values: Any) -> list[Any]:
    return list(islice(values, MAX_ROUNDS)) if values else []


def _round(value: Any, precision: Any = 0) -> Any:
    """The usual way alone: the others calculate with ten to the power of the places."""
    if not isinstance(precision, int) or abs(precision) > MAX_PLACES:
        raise SecurityError(f"A number is rounded to {MAX_PLACES} places at most.")
    return do_round(value, precision)


@pass_eval_context
def _tojson(context: Any, value: Any) -> Any:
    """Without indentation, which may be of any width. What is not there is null."""
    return do_tojson(context, None if isinstance(value, Undefined) else value)


def _join(values: Any, between: str = "") -> str:
    """Measured before it is made: a long text between many values would fill the memory."""
    parts, between = [str(value) for value in _measured(values)][: MAX_TEXT + 1], str(_measured(between))
    if sum(map(len, parts)) + len(between) * len(parts) > MAX_TEXT:
        raise SecurityError(f"A value has more than {MAX_TEXT:,} characters.")
    return between.join(parts)


_environment = _sandbox()


def unreadable(source: str, names: tuple[str, ...]) -> str:
    """Why a template over these values can't be read, whatever they are; empty when it can."""
    if len(source) > MAX_SOURCE:
        return f"{MAX_SOURCE:,} characters at most."
    try:
        _compiled(source, names)
    except TemplateSyntaxError as error:
        return f"Line {error.lineno}: {error.message}"
    except Exception as error:  # 100 brackets, say.
        return str(error)[:300] or type(error).__name__
    return ""


def problem(source: str) -> str:
    """What is wrong with a template, for the person who wrote it; empty for nothing."""
    if len(source) > MAX_SOURCE:
        return f"{MAX_SOURCE:,} characters at most."
    try:
        render(source, _SAMPLE)
    except BadTemplate as error:
        return str(error)
    return ""


def render(source: str, values: dict[str, Any], names: tuple[str, ...] = VALUES) -> str:
    """The text of a template, cut at 16,384 characters. `names` are those of the values that it may ask for.

    Raises:
        BadTemplate: It can't be rendered, or costs too much.
    """
    token = _until.set(time.monotonic() + MAX_SECONDS)
    try:
        return _rendered(source, values, names)
    except TemplateSyntaxError as error:
        raise BadTemplate(f"Line {error.lineno}: {error.message}") from error
    except Exception as error:  # Whatever an expression of somebody's may come to: 1 / 0, or 100 brackets.
        raise BadTemplate(str(error)[:300] or type(error).__name__) from error
    finally:
        _until.reset(token)


def _rendered(source: str, values: dict[str, Any], names: tuple[str, ...]) -> str:
    parts, length = [], 0
    for part in _compiled(source, names).generate(values):
        parts.append(part)
        length += len(_bounded(part))
        if length > MAX_TEXT:
            return "".join(parts)[: MAX_TEXT - 1] + "…"
    return "".join(parts)


@lru_cache(maxsize=200)
def _compiled(source: str, names: tuple[str, ...]) -> Any:
    tree = _environment.parse(source)
    _check(tree, loops=0, depth=0)
    if unknown := sorted((find_undeclared_variables(tree) | _names(tree)) - set(names)):
        raise TemplateSyntaxError(f"There is no value {unknown[0]!r}. There are: {', '.join(names)}.", 1)
    return _environment.template_class.from_code(_environment, _environment.compile(tree), {})


def _names(tree: nodes.Template) -> set[str]:
    """Names that Jinja2 itself would answer."""
    return {each.name for each in tree.find_all(nodes.Name)} & {"self", "caller", "varargs", "kwargs"}


def _check(node: nodes.Node, *, loops: int, depth: int) -> None:
    if message := _FORBIDDEN.get(type(node)):
        raise TemplateSyntaxError(message, node.lineno)
    if depth > MAX_DEPTH:
        raise TemplateSyntaxError("Too much stands within one another here.", node.lineno)
    if isinstance(node, nodes.For):
        loops += 1
        if loops > MAX_LOOPS or node.recursive:
            raise TemplateSyntaxError(f"Loops go {MAX_LOOPS} deep at most.", node.lineno)
        node.iter = nodes.Filter(node.iter, _FEW, [], [], None, None)
    for child in node.iter_child_nodes():
        _check(child, loops=loops, depth=depth + 1)


_EXAMPLE = {
    "headline": "The run quiet-otter of etl failed", "event": "flow-run.failed", "at": "2026-11-23 01:31:39 UTC",
    "run": "quiet-otter", "flow": "etl", "deployment": "nightly", "state": "Failed", "message": "no such table: orders",
    "attempt": 1, "agent": "", "pool": "default", "url": "https://orchestrator.example/o/acme/main/runs/0196",
}  # fmt: skip
_SAMPLE: dict[str, Any] = {
    **_EXAMPLE, "count": 2, "more": 0, "what": [_EXAMPLE, _EXAMPLE], "automation": "Failures", "workspace": "Acme/Main",
    "automation_url": "https://orchestrator.example/o/acme/main/automations/0196",
}  # fmt: skip
