"""`POST /journal`: everything that running flows tell."""

from django.http import HttpResponse
from rest_framework.request import Request

from runs.ingest import apply_batch
from runs.ingest.reading import unpack
from tenants.api import TenantView
from tenants.messages import answer


class Journal(TenantView):
    """NDJSON in the form of `orchestrator.wire`, packed by zstd or gzip or not; the answer is a `wire.Answer`."""

    verbs = {"POST": "journal.write"}

    def handle(self, request: Request, *args: object, **kwargs: object) -> HttpResponse:
        """The ingest opens its own scope, so that it can try a refused batch again."""
        if request.method != "POST":
            return self.http_method_not_allowed(request)
        body = unpack(request.body, request.headers.get("Content-Encoding", "").strip().lower())
        return answer(apply_batch(body, actor=self.actor))
