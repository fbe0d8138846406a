"""The base of every API view: authenticate, ask `can()`, then work inside the tenant's transaction."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from orchestrator.wire import WIRE
from tenants.errors import NotFound, WireVersion
from tenants.permissions import Actor
from tenants.scope import tenant_scope


class TenantView(APIView):
    """`verbs` names the verb for each method; the handler runs in a scope, in one transaction.

    A `Problem` rolls the transaction back and becomes the one error shape.
    """

    verbs: dict[str, str] = {}

    @property
    def actor(self) -> Actor:
        """Who asks."""
        return self.request.auth

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """DRF's own dispatch, with the scope around the handler."""
        self.args, self.kwargs = args, kwargs
        self.request = request = self.initialize_request(request, *args, **kwargs)
        self.headers = self.default_response_headers
        try:
            self.initial(request, *args, **kwargs)
            check_wire(request)
            response = self.handle(request, *args, **kwargs)
        except Exception as error:
            response = self.handle_exception(error)
        self.response = self.finalize_response(request, response, *args, **kwargs)
        return self.response

    def handle(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Call the method's handler inside the actor's tenant."""
        handler = getattr(self, (request.method or "").lower(), self.http_method_not_allowed)
        if request.method not in self.verbs:
            return self.http_method_not_allowed(request, *args, **kwargs)
        with tenant_scope(self.actor.organization_id):
            return handler(request, *args, **kwargs)

    def check_permissions(self, request: Request) -> None:
        """Leave methods that the view has not to `handle`, which answers 405."""
        if request.method in self.verbs:
            super().check_permissions(request)
        elif request.auth is None:
            self.permission_denied(request)


class NoSuchAddress(APIView):
    """What is no address of the API answers in its one shape, to everybody."""

    verbs: dict[str, str] = {}
    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse every method."""
        raise NotFound("There is no such address in this API. docs/api.md lists them.")


def check_wire(request: Request) -> None:
    """Refuse a client whose wire version is neither ours nor the one before.

    Raises:
        WireVersion: With the command that mends it.
    """
    spoken = request.headers.get("Orchestrator-Wire")
    if spoken is None:
        return
    if not spoken.isdecimal() or int(spoken) < WIRE - 1 or int(spoken) < 1:
        raise WireVersion(f"This server speaks wire version {WIRE}. Upgrade with `pip install -U orchestrator`.")
    if int(spoken) > WIRE:
        raise WireVersion(f"This server speaks wire version {WIRE} at most. Upgrade the server, or use an older SDK.")
