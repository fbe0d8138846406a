"""Log lines of runs: to the console at once, to the run's page through the journal.

`get_run_logger()` is one way in; any logger of the standard library used inside a run is another, if it is one of the
`orchestrator` tree or named in ORCHESTRATOR_LOGGING_EXTRA_LOGGERS (comma-separated). ORCHESTRATOR_LOGGING_LEVEL is
INFO by default. In a profile these are `logging_extra_loggers` and `logging_level`.
"""

from __future__ import annotations

import builtins
import logging
import os
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from orchestrator import clock
from orchestrator.config import setting
from orchestrator.context import current_flow_run, current_task_run, require_run
from orchestrator.counterparts import missing

if TYPE_CHECKING:
    from orchestrator.engine.run import Run

_RUNS = {"flow": "orchestrator.flow_runs", "task": "orchestrator.task_runs"}
_NOT_EXTRA = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "run_name", "taskName"}


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger bound to one run, whatever thread it is used in."""

    def __init__(self, run: Run, extra: dict[str, Any] | None = None) -> None:
        super().__init__(logging.getLogger(_RUNS[run.definition.kind_of_run]), extra or {})
        self.run = run

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        extra = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        extra["_run"] = self.run
        kwargs["extra"] = extra
        return msg, kwargs


def get_run_logger(**extra: Any) -> RunLogger:
    """Return the logger of the run that this code belongs to.

    Args:
        extra: What each of its lines carries, besides what a call gives as `extra={…}`.

    Raises:
        MissingContext: There is no run here.

    >>> from orchestrator import flow, get_run_logger
    >>> @flow
    ... def speaks():
    ...     get_run_logger().info("hello")
    >>> speaks()
    """
    return logger_of(require_run(), extra)


def get_logger(name: str | None = None) -> logging.Logger:
    """Return a logger whose lines go to the run around them, if there is one: for modules.

    >>> get_logger("loading").name
    'orchestrator.loading'
    """
    set_up()
    if not name or name == "orchestrator" or name.startswith("orchestrator."):
        return logging.getLogger(name or "orchestrator")
    return logging.getLogger(f"orchestrator.{name}")


def logger_of(run: Run, extra: dict[str, Any] | None = None) -> RunLogger:
    """The logger of one run."""
    set_up()
    return RunLogger(run, extra)


class _JournalHandler(logging.Handler):
    """Puts each record into the journal of the run it belongs to."""

    def emit(self, record: logging.LogRecord) -> None:
        run = getattr(record, "_run", None) or current_task_run() or current_flow_run()
        if run is None or run.stream is None or getattr(record, "_is_told", False):
            return
        record._is_told = True  # pyright: ignore[reportAttributeAccessIssue] - a logger and its parent may be named both
        try:
            from orchestrator.journal.records import LogLine

            message = record.getMessage()
            if record.exc_info and record.exc_info[0] is not None:
                message = f"{message}\n{_formatter.formatException(record.exc_info)}"
            run.stream.put(LogLine(run, clock.now(), record.levelno, record.name, message, _extra(record)))
        except Exception:
            self.handleError(record)


def _extra(record: logging.LogRecord) -> dict[str, Any] | None:
    extra = {key: value for key, value in record.__dict__.items() if key not in _NOT_EXTRA and not key.startswith("_")}
    return extra or None


class _ConsoleHandler(logging.StreamHandler[Any]):
    """Writes to whatever standard error is at the time."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_ConsoleFormatter())

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        return

    def handleError(self, record: logging.LogRecord) -> None:
        # A closed terminal or pipe must not disturb the run: the journal has the line.
        return


class _ConsoleFormatter(logging.Formatter):
    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s | %(levelname)-7s | %(run_name)s%(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        from orchestrator.masking import mask

        run = getattr(record, "_run", None) or current_task_run() or current_flow_run()
        record.run_name = f"{run.definition.kind_of_run} {run.name} - " if run is not None else ""
        return mask(super().format(record))


_formatter = logging.Formatter()
_is_set_up = False


def set_up() -> None:
    """Hang the console and the journal on our loggers, once. Levels and handlers that users set stay as they are."""
    global _is_set_up
    if _is_set_up:
        return
    _is_set_up = True
    root = logging.getLogger("orchestrator")
    level = setting("LOGGING_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        level = "INFO"
    if root.level == logging.NOTSET:
        root.setLevel(level)
    journal = _JournalHandler()
    root.addHandler(journal)
    if os.environ.get("ORCHESTRATOR_LOGGING_TO_CONSOLE", "1").lower() not in ("0", "false", "no"):
        root.addHandler(_ConsoleHandler())
    for name in filter(None, map(str.strip, setting("LOGGING_EXTRA_LOGGERS").split(","))):
        extra = logging.getLogger(name)
        extra.addHandler(journal)
        if extra.level == logging.NOTSET:  # Else the standard library's own default, WARNING, would hold lines back.
            extra.setLevel(level)


# Prints.

_print = builtins.print


def capture_prints() -> None:
    """From now on, what runs with `log_prints` print goes to their log. Others print as ever."""
    if builtins.print is not _print_or_log:
        global _print
        _print = builtins.print
        builtins.print = _print_or_log


def _print_or_log(*values: Any, **options: Any) -> None:
    run = current_task_run() or current_flow_run()
    elsewhere = options.get("file") not in (None, sys.stdout)
    if run is None or elsewhere or not _logs_prints(run):
        _print(*values, **options)
        return
    text = (options.get("sep") or " ").join(str(value) for value in values)
    logger_of(run).info("%s", text)


def _logs_prints(run: Any) -> bool:
    """What the task says, else the flow around it, else the flow around that."""
    while run is not None:
        if run.definition.log_prints is not None:
            return run.definition.log_prints
        run = run.flow_run if run.definition.kind_of_run == "task" else run.parent
    return False


__getattr__ = missing(__name__)
