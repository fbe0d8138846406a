"""`POST /journal`: everything that running flows tell."""

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.wire import Answer
from runs.ingest import apply_batch
from runs.ingest.reading import unpack
from tenants.api import TenantView
from tenants.declared import operation
from tenants.errors import LimitReached, RateLimited
from tenants.messages import answer


class Journal(TenantView):
    """POST: what running flows tell, as NDJSON in the form of `orchestrator.wire`, packed by zstd or gzip or not."""

    verbs = {"POST": "journal.write"}

    def handle(self, request: Request, *args: object, **kwargs: object) -> HttpResponse:
        """The ingest opens its own scope, so that it can try a refused batch again."""
        return self.post(request) if request.method == "POST" else self.http_method_not_allowed(request)

    @operation(Answer, refuses=[LimitReached, RateLimited], media="application/x-ndjson")
    def post(self, request: Request, told: bytes) -> HttpResponse:
        body = unpack(told, request.headers.get("Content-Encoding", "").strip().lower())
        return answer(apply_batch(body, actor=self.actor))
