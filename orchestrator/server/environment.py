"""Typed readers of the environment, and where the embedded stack of this checkout keeps its data.

Every setting may also be given as `NAME_FILE`, the path of a file that holds the value (for mounted secrets).
"""

import json
import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from orchestrator.server.embedded import data_directory

BASE_DIR = Path(__file__).resolve().parent.parent.parent


def text(name: str, default: str = "") -> str:
    """The value of NAME, else the content of the file named by NAME_FILE, else the default."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return os.environ.get(name, default)


def boolean(name: str, default: bool = False) -> bool:
    """True for 1, true, yes and on, in any case."""
    value = text(name)
    return value.lower() in {"1", "true", "yes", "on"} if value else default


def number(name: str, default: float) -> float:
    """A number of seconds, bytes or things."""
    value = text(name)
    try:
        return float(value) if value else default
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}") from error


def words(name: str, default: str = "") -> list[str]:
    """A list separated by commas."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def hosts(name: str) -> list[str]:
    """A list of names of hosts, `*.` in front for all below one; each may stand in a policy as it is."""
    found = words(name)
    if strange := [host for host in found if not re.fullmatch(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+", host)]:
        raise ImproperlyConfigured(f"{name} lists names of hosts like img.example.com or *.example.com: {strange[0]!r}")
    return found


def data_dir() -> Path:
    """The directory of the embedded stack that is meant: ORCHESTRATOR_DATA_DIR, else the checkout's own."""
    return Path(text("ORCHESTRATOR_DATA_DIR") or data_directory.default(BASE_DIR))


def running_stack() -> dict[str, str]:
    """What `manage.py up` wrote into its data directory: addresses and secrets. Empty before the first start."""
    try:
        return json.loads((data_dir() / "stack.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, json.JSONDecodeError) as error:
        raise ImproperlyConfigured(f"{data_dir() / 'stack.json'} can't be read: {error}") from error


def database(url: str, *, role: str | None, statement_timeout: float) -> dict:
    """Django's settings of one PostgreSQL connection. `role` is taken on at the start of every connection."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"Only PostgreSQL is supported: postgresql://…, not {parts.scheme}://…")
    options = [f"-c statement_timeout={int(statement_timeout * 1000)}", "-c lock_timeout=10000"]
    options.append("-c idle_in_transaction_session_timeout=60000")
    if role:
        options.append(f"-c role={role}")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # What the ingest repeats is planned once; Django's own cursors never prepare.
        "OPTIONS": {"prepare_threshold": 5, **dict(parse_qsl(parts.query)), "options": " ".join(options)},
        "TEST": {"TEMPLATE": "template0"},
    }


def mail(url: str) -> dict:
    """Django's settings of one mail server; without a URL, mails go to the console."""
    if not url:
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    parts = urlsplit(url)
    ports = {"smtp": 25, "smtp+tls": 587, "smtps": 465}
    if parts.scheme not in ports or not parts.hostname:
        raise ImproperlyConfigured("EMAIL_URL is smtp://, smtp+tls:// or smtps://, like smtps://user:password@host:465")
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or ports[parts.scheme],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_TIMEOUT": 20,
    }


SOCIAL_HOSTS = {
    "google": "https://accounts.google.com",
    "github": "https://github.com",
    "microsoft": "https://login.microsoftonline.com",
}
SOCIAL_SCOPES = {"google": ["openid", "email", "profile"], "github": ["user:email"], "microsoft": ["User.Read"]}


def social_providers(**known: tuple[str, str, dict[str, str]]) -> dict[str, dict]:
    """allauth's settings of the log-in providers that have a client id: (id, secret, further settings) by name."""
    return {
        name: {
            "APPS": [{"client_id": id, "secret": secret, "settings": further}],
            "SCOPE": SOCIAL_SCOPES[name],
            "OAUTH_PKCE_ENABLED": True,
        }
        for name, (id, secret, further) in known.items()
        if id
    }
