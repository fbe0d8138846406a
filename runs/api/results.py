"""Small values of runs, as bytes."""

from __future__ import annotations

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from runs import stored_results
from tenants.api import TenantView
from tenants.declared import operation
from tenants.errors import Conflict, LimitReached
from tenants.messages import answer

BYTES = "application/octet-stream"


class StoredShown(msgspec.Struct):
    """A value that is stored, and its size in bytes."""

    key: str
    size: int


class StoredResults(TenantView):
    """PUT: store the bytes of a value; 512 KiB at most. GET: those bytes. HEAD: whether they are there. DELETE: forget
    the value.
    """

    verbs = {"PUT": "results.write", "GET": "results.read", "HEAD": "results.read", "DELETE": "results.write"}

    @operation(StoredShown, 200, 201, refuses=[Conflict, LimitReached])
    def put(self, request: Request, key: str, told: bytes) -> HttpResponse:
        new = stored_results.store(told, key, by=self.actor)
        return answer(StoredShown(key, len(told)), status=201 if new else 200)

    @operation(bytes)
    def get(self, request: Request, key: str) -> HttpResponse:
        found = stored_results.find(key, by=self.actor)
        return HttpResponse(bytes(found.content), content_type=BYTES, headers={"X-Size": str(found.size)})

    @operation(bytes)
    def head(self, request: Request, key: str) -> HttpResponse:
        size = stored_results.size_of(key, by=self.actor)
        return HttpResponse(content_type=BYTES, headers={"X-Size": str(size)})

    @operation(None, 204)
    def delete(self, request: Request, key: str) -> HttpResponse:
        stored_results.remove(key, by=self.actor)
        return HttpResponse(status=204)
