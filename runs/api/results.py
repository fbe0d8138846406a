"""Small values of runs, as bytes."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from runs import stored_results
from tenants.api import TenantView
from tenants.messages import answer

BYTES = "application/octet-stream"


class StoredResults(TenantView):
    """PUT, GET, HEAD, DELETE: the bytes of a value, by its key."""

    verbs = {"PUT": "results.write", "GET": "results.read", "HEAD": "results.read", "DELETE": "results.write"}

    def put(self, request: Request, key: str) -> HttpResponse:
        new = stored_results.store(request.body, key, by=self.actor)
        return answer({"key": key, "size": len(request.body)}, status=201 if new else 200)

    def get(self, request: Request, key: str) -> HttpResponse:
        found = stored_results.find(key, by=self.actor)
        return HttpResponse(bytes(found.content), content_type=BYTES, headers={"X-Size": str(found.size)})

    def head(self, request: Request, key: str) -> HttpResponse:
        size = stored_results.size_of(key, by=self.actor)
        return HttpResponse(content_type=BYTES, headers={"X-Size": str(size)})

    def delete(self, request: Request, key: str) -> HttpResponse:
        stored_results.remove(key, by=self.actor)
        return HttpResponse(status=204)
