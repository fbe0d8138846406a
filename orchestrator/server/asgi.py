"""The one entry for the web server: sockets, waiting agents and waiting code on the loop, everything else by threads.

Large installations run the halves apart: the same entry twice, with the paths routed before it.
"""

import os
import re

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator.server.settings")
django_application = get_wsgi_application()  # sets Django up, which the imports below rely on

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402

from orchestrator.server import environment  # noqa: E402
from orchestrator.server.bridge import Bodies, Message, Receive, Send, WsgiBridge  # noqa: E402
from runs.endings import endings_app  # noqa: E402
from runs.inputs import doorbell  # noqa: E402
from runs.routing import websocket_urlpatterns  # noqa: E402
from runs.slots import waiting as slot_waiting  # noqa: E402
from runs.waiting import wait_app  # noqa: E402

SLOT_WAIT_PATH = re.compile(r"/api/v1/slots/wait/?")
WAIT_PATH = re.compile(r"/api/v1/agents/[^/]+/wait/?")
ENDINGS_PATH = re.compile(r"/api/v1/flow-runs/wait/?")
BELL_PATH = re.compile(r"/api/v1/flow-runs/[^/]+/wait/?")
DOCS_PATH = re.compile(r"/api/docs(/|$)")
NO_SUCH_SOCKET = 4404


class ApiHandler(WSGIHandler):
    """Django's handler with the middleware of the API alone."""

    def load_middleware(self, is_async: bool = False) -> None:
        """Called once, before anything is served."""
        pages, settings.MIDDLEWARE = settings.MIDDLEWARE, settings.API_MIDDLEWARE
        try:
            super().load_middleware(is_async)
        finally:
            settings.MIDDLEWARE = pages


bodies = Bodies()
pages = WsgiBridge(django_application, name="pages", threads=int(environment.number("PAGE_THREADS", 6)), bodies=bodies)
api = WsgiBridge(ApiHandler(), name="api", threads=int(environment.number("API_THREADS", 8)), bodies=bodies)
sockets = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """Send each connection to the half that serves it."""
    if scope["type"] == "websocket":
        await _serve_socket(scope, receive, send)
    elif scope["type"] != "http":
        raise ValueError(f"{scope['type']} isn't served; start the server with --interface asginl")
    elif WAIT_PATH.fullmatch(scope["path"]):
        await wait_app(scope, receive, send)
    elif SLOT_WAIT_PATH.fullmatch(scope["path"]):
        await slot_waiting.wait_app(scope, receive, send)
    elif ENDINGS_PATH.fullmatch(scope["path"]):
        await bodies.serve(scope, receive, send, lambda body: endings_app(scope, send, body))
    elif BELL_PATH.fullmatch(scope["path"]):
        await doorbell.wait_app(scope, receive, send)
    elif scope["path"].startswith("/api/") and not DOCS_PATH.match(scope["path"]):
        await api(scope, receive, send)
    else:
        await pages(scope, receive, send)


async def _serve_socket(scope: Message, receive: Receive, send: Send) -> None:
    if any(pattern.resolve(scope["path"].lstrip("/")) for pattern in websocket_urlpatterns):
        await sockets(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": NO_SUCH_SOCKET})
