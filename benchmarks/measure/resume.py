"""A flow that goes on after it failed, with the values that its tasks have stored on this machine's disk."""

from benchmarks.site import Site, client

TIMEOUT = 1_800


def resume(site: Site, count: int) -> dict[str, float]:
    """Microseconds of a call that is replayed, and seconds until all are."""
    with client(site) as user:
        user.ask("flows", TIMEOUT, count=1)
        _, seconds = user.ask("resume", TIMEOUT, count=count)
    return {"resume.us": seconds * 1e6 / count, "resume.s": seconds}
