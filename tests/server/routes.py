"""Every address that the server answers: its name, what it asks for, whose it is."""

from __future__ import annotations

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver


def routes(resolver: URLResolver | None = None) -> Iterator[URLPattern]:
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern)
        else:
            yield pattern


def names() -> list[str]:
    return sorted({pattern.name or str(pattern.pattern) for pattern in routes()})


def pattern_of(name: str) -> URLPattern:
    return next(pattern for pattern in routes() if (pattern.name or str(pattern.pattern)) == name)


def parameters_of(name: str) -> set[str]:
    """The parameters of a route, those of the routes around it too."""
    [(_, parameters), *_] = get_resolver().reverse_dict.getlist(name)[0][0]
    return set(parameters)


def is_page_of_a_tenant(name: str) -> bool:
    return "organization" in parameters_of(name)


def is_api(name: str) -> bool:
    return name.startswith("api-")


PAGES = [name for name in names() if is_page_of_a_tenant(name)]
APIS = [name for name in names() if is_api(name)]
