"""The call of an empty flow, by hand and from another flow."""

from benchmarks.figures import median, percentile
from benchmarks.site import Site, client

TIMEOUT = 300


def flow(site: Site) -> dict[str, float]:
    return _called(site, "flows", "flow")


def subflow(site: Site) -> dict[str, float]:
    return _called(site, "subflows", "subflow")


def _called(site: Site, command: str, name: str) -> dict[str, float]:
    """Milliseconds of a call in a process that has run a flow before."""
    with client(site) as user:
        user.ask("flows", TIMEOUT, count=1)
        seconds = user.ask(command, TIMEOUT, count=site.sizes.flows)
    return {f"{name}.ms": 1000 * median(seconds), f"{name}.p95": 1000 * percentile(seconds, 0.95)}
