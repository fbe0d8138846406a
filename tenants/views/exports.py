"""Exports of an organization: asked for and fetched by its owners."""

from __future__ import annotations

from collections.abc import Iterator
from threading import BoundedSemaphore
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect

from tenants import audit
from tenants.access import organization_page
from tenants.errors import Conflict, Unavailable
from tenants.leaving import exports
from tenants.leaving.models import Export

_given_out = BoundedSemaphore(2)  # of this process at once: each holds a thread for as long as its reader takes


@organization_page({"POST": "organization.export"})
def ask(request: HttpRequest) -> HttpResponse:
    """Have one made."""
    try:
        exports.ask(organization=request.organization, email=request.user.email, by=request.actor)
        messages.success(request, f"The export is being made. A mail to {request.user.email} says when it is ready.")
    except Conflict as problem:
        messages.error(request, problem.message)
    return redirect("organization-settings", request.organization.slug)


@organization_page({"GET": "organization.export"})
def download(request: HttpRequest, id: UUID) -> HttpResponse:
    """The zip, as a stream."""
    export = exports.find(id)
    audit.record(request.actor, "export.downloaded", export, name=request.organization.name)
    if not _given_out.acquire(blocking=False):
        raise Unavailable("Others are fetching exports at this moment. Try again in some minutes.")
    response = StreamingHttpResponse(_Given(export), content_type="application/zip")
    response.headers["Content-Length"] = str(export.size)
    name = f"{request.organization.slug}-{export.ready_at:%Y%m%d}.zip"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


class _Given:
    """The pieces of an export. Its place is free again when it is closed, however far the reader came."""

    def __init__(self, export: Export) -> None:
        self._pieces, self._held, self._place = exports.pieces(export), True, _given_out

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        if self._held:
            self._held = False
            self._place.release()

    __del__ = close  # A response that nobody has read, or closed, gives its place back, too.
