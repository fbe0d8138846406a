"""An application for the web server in `test_bridge.py`. Without Django, the bridge alone counts."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.server.bridge import Bodies, WsgiBridge

LIMIT = 6_000_000
IDLE_SECONDS = 1.0


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/long":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return (b"x" * 50_000 for _ in range(100))
    body = environ["wsgi.input"].read()
    answer = {
        "path": environ["PATH_INFO"].encode("latin-1").decode(),
        "query": environ["QUERY_STRING"],
        "digest": hashlib.sha256(body).hexdigest(),
        "length": environ["CONTENT_LENGTH"],
        "type": environ.get("CONTENT_TYPE"),
        "encoding": environ.get("HTTP_CONTENT_ENCODING"),
        "cookie": environ.get("HTTP_COOKIE"),
        "real": environ.get("HTTP_X_REAL"),
    }
    text = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
    return [text]


application = WsgiBridge(echo, name="echo", threads=1, bodies=Bodies(limit=LIMIT, idle=IDLE_SECONDS))
