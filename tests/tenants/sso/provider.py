"""A company's OIDC provider that says whatever a test wants it to say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from django.utils import timezone

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Idp:
    """What it answers: tests change it at will."""

    url: str
    said: dict[str, Any] = field(default_factory=dict)  # claims that replace the ordinary ones; None leaves one out
    userinfo: dict[str, Any] = field(default_factory=dict)
    discovery: dict[str, Any] = field(default_factory=dict)
    keys: list[dict[str, Any]] | None = None
    key: Any = KEY
    algorithm: str = "RS256"
    headers: dict[str, Any] = field(default_factory=lambda: {"kid": "one"})
    secret: str = "s3cret"
    asked: list[dict[str, str]] = field(default_factory=list)  # of the token endpoint
    nonce: str = ""

    def discovered(self) -> dict[str, Any]:
        own = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }
        return {name: value for name, value in (own | self.discovery).items() if value is not None}

    def published(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        return {"keys": self.keys if self.keys is not None else [public | {"kid": "one", "alg": "RS256", "use": "sig"}]}

    def token(self) -> str:
        now = int(timezone.now().timestamp())
        claims = {
            "iss": self.url, "aud": "orchestrator", "sub": "u-1", "iat": now, "exp": now + 60, "nonce": self.nonce,
            "email": "nina@acme.example", "email_verified": True, "name": "Nina Newcomer",
        } | self.said  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.key, algorithm=self.algorithm, headers=self.headers)

    def answer(self, path: str, body: str) -> tuple[int, Any]:
        if path.endswith("/openid-configuration"):
            return 200, self.discovered()
        if path == "/keys":
            return 200, self.published()
        if path == "/userinfo":
            return 200, self.userinfo
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self.asked.append(form)
        if form.get("client_secret") != self.secret:
            return 401, {"error": "invalid_client"}
        return 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": self.token()}


@contextmanager
def serving() -> Iterator[Idp]:
    """Run one on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            status, answer = idp.answer(urlsplit(self.path).path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    idp = Idp(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield idp
    server.shutdown()
    server.server_close()
    thread.join(10)


def leave(client: Client, idp: Idp, path: str) -> dict[str, str]:
    """Begin a log-in; answers what the provider was asked."""
    response = client.get(path)
    assert response.status_code == 302, response.content
    assert response.headers["Location"].startswith(f"{idp.url}/authorize?")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(response.headers["Location"]).query).items()}
    idp.nonce = asked["nonce"]
    return asked
