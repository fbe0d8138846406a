"""What the DNS says of a domain."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from tenants.errors import Unavailable

SECONDS = 5.0


def txt_records(name: str) -> list[str]:
    """The TXT records of a name.

    Raises:
        Unavailable: The DNS gives no answer.
    """
    # Imported here: it costs each process 100 ms, and few ever ask.
    from dns.exception import DNSException
    from dns.resolver import NXDOMAIN, NoAnswer

    try:
        answer = _resolver().resolve(name + ".", "TXT", lifetime=SECONDS)
    except (NXDOMAIN, NoAnswer):
        return []
    except DNSException as error:
        raise Unavailable(f"The DNS gives no answer for {name}. Try again in some minutes.") from error
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


def _resolver() -> Any:
    from dns.resolver import Resolver

    if not settings.DNS_SERVER:
        return Resolver()
    resolver = Resolver(configure=False)
    address, _, port = settings.DNS_SERVER.rpartition(":")
    resolver.nameservers, resolver.port = [address], int(port)
    return resolver
