"""Addresses that runs tell of, and what pages may do with them: everything else is shown as text."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.conf import settings

FOLLOWED = ("http", "https", "mailto")
# The kinds of image that are data and can't hold a program; SVG can.
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp|avif);base64,[A-Za-z0-9+/=\s]+", re.IGNORECASE)


def followed(address: str) -> str:
    """The address, if a page may link to it; else nothing.

    >>> followed("https://example.com/a"), followed("javascript:alert(1)"), followed("JAVA\tSCRIPT:alert(1)")
    ('https://example.com/a', '', '')
    """
    address = address.strip()
    if re.search(r"[\x00-\x20\x7f]", address):  # Browsers drop some of these, and would read another scheme.
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    is_whole = bool(parts.hostname) if parts.scheme in {"http", "https"} else bool(parts.path)
    return address if parts.scheme in FOLLOWED and is_whole else ""


def shown_image(address: str) -> str:
    """The address, if a page may show the image: one that is its own data, or of a host in IMAGE_HOSTS."""
    if _IMAGE.fullmatch(address):
        return address
    if not followed(address) or not address.startswith("https://"):
        return ""
    parts = urlsplit(address)
    return address if parts.port in {None, 443} and _is_allowed(parts.hostname or "") else ""


def _is_allowed(host: str) -> bool:
    return any(
        host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed for allowed in settings.IMAGE_HOSTS
    )
