"""The server itself, for small values of those who have no storage of their own."""

from __future__ import annotations

import io
import os
import threading
import urllib.parse
from collections.abc import Generator
from contextlib import contextmanager
from typing import BinaryIO

from orchestrator.client import Client
from orchestrator.config import Api, require_api
from orchestrator.exceptions import NotFound
from orchestrator.result_storage.base import ResultStorage


class Server(ResultStorage):
    """What the API keeps under `results/KEY`: 512 KiB at most for each value."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[tuple[int, Api], Client] = {}

    def url(self, path: str) -> str:
        return f"server:{path}"

    @contextmanager
    def writing(self, path: str) -> Generator[BinaryIO]:
        buffer = io.BytesIO()
        yield buffer
        self._client().request("PUT", _address(path), body=buffer.getvalue(), again=True)

    @contextmanager
    def reading(self, path: str) -> Generator[BinaryIO]:
        try:
            content = self._client().get(_address(path))
        except NotFound as error:
            raise FileNotFoundError(str(error)) from None
        yield io.BytesIO(content)

    def delete(self, path: str) -> bool:
        try:
            self._client().delete(_address(path))
        except NotFound:
            return False
        return True

    def _client(self) -> Client:
        """The connections of this process to the API that it talks to now."""
        key = os.getpid(), require_api()
        with self._lock:
            if key not in self._clients:
                self._clients = {key: Client()}
            return self._clients[key]


def _address(path: str) -> str:
    return f"/results/{urllib.parse.quote(path)}"
