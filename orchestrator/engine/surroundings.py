"""What surrounds the runs of a process that was there before them: imports, environment, threads, random numbers."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.engine import execute

if TYPE_CHECKING:
    from orchestrator.engine.line import Line
    from orchestrator.flows import Flow
    from orchestrator.tasks import Task

_RUN_PATH = (
    "asyncio",
    "email.parser",
    "encodings.idna",
    "gzip",
    "http.client",
    "orchestrator.engine.call_keys",
    "orchestrator.engine.effects",
    "orchestrator.engine.failures",
    "orchestrator.engine.deadlines",
    "orchestrator.engine.handover",
    "orchestrator.engine.hooks",
    "orchestrator.engine.interrupts",
    "orchestrator.engine.keeping",
    "orchestrator.engine.mapping",
    "orchestrator.engine.outcomes",
    "orchestrator.engine.retries",
    "orchestrator.engine.task_run",
    "orchestrator.engine.timeouts",
    "orchestrator.engine.upstream",
    "orchestrator.engine.watch",
    "orchestrator.flows",
    "orchestrator.futures",
    "orchestrator.journal.entries",
    "orchestrator.journal.file",
    "orchestrator.journal.hub",
    "orchestrator.journal.records",
    "orchestrator.journal.recovery",
    "orchestrator.journal.shipper",
    "orchestrator.journal.transport",
    "orchestrator.loading",
    "orchestrator.logging",
    "orchestrator.masking",
    "orchestrator.parameters",
    "orchestrator.results",
    "orchestrator.runtime",
    "orchestrator.task_runners.jobs",
    "orchestrator.task_runners.threads",
    "orchestrator.tasks",
    "orchestrator.variables",
    "unicodedata",
    "urllib.request",
    "zstandard",
)
_BLAS = "OPENBLAS_NUM_THREADS"
_BLAS_SETTERS = ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_", "openblas_set_num_threads")


@dataclass(slots=True)
class Settings:
    """What was changed for the import alone, and is put right when a run begins."""

    one_blas_thread: bool = False
    set_blas_threads: list[Callable[[int], Any]] = field(default_factory=list)


def import_everything(secure: bool) -> None:
    """Import whatever a run needs of the SDK, and of the standard library on its behalf."""
    for name in _RUN_PATH:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if secure:
        importlib.import_module("ssl")
    gc.enable()


def go_to(directory: str, environment: dict[str, str]) -> None:
    """Go where the code is, with the environment that its deployment asks for."""
    os.environ.update(environment)
    time.tzset()
    os.chdir(directory)


def go_to_import(directory: str, environment: dict[str, str]) -> Settings:
    """Go where the code is, to import it before there is a run.

    OpenBLAS, which numpy brings, starts its threads when it is loaded, and a process with threads can't be forked
    safely. So it is loaded with one; `begin_run` gives the others back.
    """
    go_to(directory, environment)
    settings = Settings(one_blas_thread=_BLAS not in os.environ)
    if settings.one_blas_thread:
        os.environ[_BLAS] = "1"
    return settings


def prepare(flow: Flow[..., Any] | Task[..., Any], settings: Settings) -> None:
    """Do what every run of the flow would do at its beginning, as far as it is always the same."""
    from orchestrator.logging import set_up
    from orchestrator.parameters import prepare

    set_up()
    with contextlib.suppress(TypeError, ValueError):
        _ = flow.signature  # Read once.
    if flow.should_validate_parameters:
        with contextlib.suppress(Exception):  # The run will say what is wrong with it.
            prepare(flow.fn)
    if settings.one_blas_thread:
        del os.environ[_BLAS]
        settings.set_blas_threads = _blas_setters()


def _blas_setters() -> list[Callable[[int], Any]]:
    """The function that sets the number of threads, of each OpenBLAS that is loaded."""
    if not {"numpy", "scipy"} & sys.modules.keys():
        return []
    import ctypes

    with contextlib.suppress(OSError), open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[5].rstrip("\n") for line in maps if "openblas" in line}
        libraries = [ctypes.CDLL(path) for path in sorted(paths)]
        found = [next((getattr(each, n) for n in _BLAS_SETTERS if hasattr(each, n)), None) for each in libraries]
        return [setter for setter in found if setter is not None]
    return []


def settle() -> None:
    """Move all that is there out of the garbage collector's sight: forked children then share its memory."""
    gc.collect()
    gc.freeze()


def threads() -> int:
    """The native threads of this process; 0 when that can't be told. Python knows only those that it started."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0


def files_under(directory: str, began: int) -> tuple[list[tuple[str, int, int]], bool]:
    """The modules that came from a directory, as (path, mtime, size), and whether one changed since `began` (ns)."""
    inside = os.path.realpath(directory) + os.sep
    found: list[tuple[str, int, int]] = []
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and os.path.realpath(path).startswith(inside):
            with contextlib.suppress(OSError):
                facts = os.stat(path)
                found.append((path, facts.st_mtime_ns, facts.st_size))
    return found, any(changed >= began for _, changed, _ in found)


def begin_run(settings: Settings) -> None:
    """Put right what a run must not share with others. Python's own random numbers are reseeded by Python."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if settings.set_blas_threads:
        cores = len(os.sched_getaffinity(0))
        for setter in settings.set_blas_threads:
            setter(cores)


def run_here(line: Line, order: dict[str, Any], flow: Flow[..., Any] | Task[..., Any] | None) -> None:
    """Execute a run in a process that goes on afterwards, unless the run was broken off.

    The next run finds no context, no journal and no token of this one. What it changed in modules stays.
    """
    code, again = 1, False
    try:
        run = contextvars.copy_context().run(execute.perform, line, order, flow)
        code = execute.exit_code(run)
        again = code == 0 and run.stopping_state.reason is None
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    if not again:
        execute.end_process(code, line)
    _forget_run(order["directory"])
    line.end(code, again=True)
    line.close()


def _forget_run(directory: str) -> None:
    from orchestrator import journal
    from orchestrator.config import use_api
    from orchestrator.context import adopt_strays

    journal.end()
    use_api(None)
    adopt_strays(None)
    os.chdir(directory)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
