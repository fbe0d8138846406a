"""OpenID Connect's authorization code flow, as the client: OpenID Connect Core 1.0, with PKCE (RFC 7636).

The ID token alone says who somebody is. It is verified in full (signature by the provider's published keys, issuer,
audience, times, nonce), though it comes over TLS; what `userinfo` adds is taken only for the same subject.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import jwt
from django.core.cache import cache

from tenants.errors import Invalid
from tenants.sso.assertions import Assertion
from tenants.sso.fetching import Unreachable, fetch_json
from tenants.sso.flows import Flow, Refused

WELL_KNOWN = "/.well-known/openid-configuration"
SCOPES = "openid email profile"
# Signatures by a key pair only: with HMAC whoever knows the client's secret could make tokens.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
LEEWAY = 60  # seconds by which clocks may differ
REMEMBERED = 300  # seconds for which a provider's endpoints are not asked for again
FAILURE_REMEMBERED = 30


@dataclass(frozen=True, slots=True)
class Client:
    """How we are known to a provider."""

    issuer: str
    client_id: str
    secret: str
    callback: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider is asked what, from its discovery document."""

    authorization: str
    token: str
    keys: str
    userinfo: str
    takes_basic: bool


def discover(issuer: str) -> Endpoints:
    """Read a provider's discovery document (OpenID Connect Discovery 1.0).

    Raises:
        Invalid: It can't be had, belongs to another issuer, or lacks an endpoint; beside the field `issuer`.
    """
    try:
        found = fetch_json(issuer.rstrip("/") + WELL_KNOWN)
    except (Unreachable, Invalid) as problem:
        raise _wrong(problem.message) from problem
    if found.get("issuer") != issuer:
        raise _wrong(f"The provider calls itself {str(found.get('issuer'))[:200]!r}. Write it exactly so.")
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    if missing := [name for name in names if not _same_kind(found.get(name), issuer)]:
        raise _wrong(f"The provider's discovery document names no usable {', '.join(missing)}.")
    userinfo = found.get("userinfo_endpoint")
    methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    return Endpoints(
        *(found[name] for name in names),
        userinfo=userinfo if _same_kind(userinfo, issuer) else "",
        takes_basic="client_secret_basic" in methods,
    )


def _wrong(message: str) -> Invalid:
    return Invalid(message, fields={"issuer": message})


def _same_kind(url: Any, issuer: str) -> bool:
    """An endpoint of an issuer with https has https."""
    return isinstance(url, str) and urlsplit(url).scheme == urlsplit(issuer).scheme and bool(urlsplit(url).netloc)


def endpoints(issuer: str) -> Endpoints:
    """A provider's endpoints, asked for once in five minutes; what went wrong is said again for half a minute.

    Raises:
        Invalid: As `discover`.
    """
    key = "sso-endpoints:" + hashlib.sha256(issuer.encode()).hexdigest()
    known = cache.get(key)
    if known is None:
        try:
            known = asdict(discover(issuer))
        except Invalid as problem:
            cache.set(key, {"wrong": problem.message}, FAILURE_REMEMBERED)
            raise
        cache.set(key, known, REMEMBERED)
    if "wrong" in known:
        raise _wrong(known["wrong"])
    return Endpoints(**known)


def authorization_address(client: Client, flow: Flow, state: str, *, hint: str = "") -> str:
    """Where the browser goes to log in."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.callback,
        "scope": SCOPES,
        "state": state,
        "nonce": flow.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"login_hint": hint} if hint else {}),
    }
    address = endpoints(client.issuer).authorization
    return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"


def assertion_of(client: Client, flow: Flow, code: str) -> Assertion:
    """Exchange the code of an answer for what the provider says of the person.

    Raises:
        Refused: The provider takes the code or the client's secret for wrong, or its token does not stand the checks.
    """
    at = endpoints(client.issuer)
    given = _tokens(client, flow, code, at)
    claims = _verified(given.get("id_token"), client, flow, at)
    if not claims.get("email") and at.userinfo and isinstance(given.get("access_token"), str):
        more = fetch_json(at.userinfo, headers={"Authorization": f"Bearer {given['access_token']}"})
        claims = more | claims if more.get("sub") == claims["sub"] else claims
    verified = claims.get("email_verified")
    return Assertion(
        issuer=client.issuer,
        subject=str(claims["sub"]),
        email=str(claims.get("email") or ""),
        email_verified=None if verified is None else verified in (True, "true"),
        name=str(claims.get("name") or ""),
    )


def _tokens(client: Client, flow: Flow, code: str, at: Endpoints) -> dict[str, Any]:
    data = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.callback,
        "code_verifier": flow.verifier,
    }
    if at.takes_basic:  # RFC 6749, 2.3.1: both parts are encoded as in a form.
        auth = (quote(client.client_id, safe=""), quote(client.secret, safe=""))
    else:
        auth, data = None, data | {"client_id": client.client_id, "client_secret": client.secret}
    try:
        return fetch_json(at.token, method="POST", data=data, auth=auth)
    except Unreachable as problem:
        raise Refused(
            f"Your company's provider gives no token: {problem.message} An owner can look at client ID and secret."
        ) from problem


def _verified(token: Any, client: Client, flow: Flow, at: Endpoints) -> dict[str, Any]:
    try:
        key = _key(token, fetch_json(at.keys))
        claims = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=client.client_id,
            issuer=client.issuer,
            leeway=LEEWAY,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise Refused(f"The ID token of your company's provider does not stand the check: {error}.") from error
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), flow.nonce.encode()):
        raise Refused("The ID token of your company's provider belongs to another log-in. Begin again.")
    if claims.get("azp", client.client_id) != client.client_id:
        raise Refused("The ID token of your company's provider was made for another client.")
    return claims


def _key(token: Any, keys: dict[str, Any]) -> jwt.PyJWK:
    """The published key that a token names; if it names none, the only one."""
    id = jwt.get_unverified_header(token).get("kid")
    known = [key for key in jwt.PyJWKSet.from_dict(keys).keys if key.key_type != "oct"]
    fitting = [key for key in known if id in (None, key.key_id)]
    if len(fitting) != 1:
        raise ValueError("the provider has not published the key that it was signed with")
    return fitting[0]
