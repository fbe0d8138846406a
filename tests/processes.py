"""Running calls in a second process, on the same database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import django

from tests.threads import TIMEOUT_SECONDS, closing


@contextmanager
def second_process() -> Iterator[Callable[..., Any]]:
    """A function that has another process call something with values, and answers its result.

    The process is a fresh one, with the settings that the environment names. It keeps no connection between calls.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=django.setup) as pool:
        yield lambda call, *values: pool.submit(closing, call, *values).result(TIMEOUT_SECONDS)
