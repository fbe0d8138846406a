"""What a call costs whose value is stored, is stored for others to use, or is taken from what others have stored."""

from benchmarks.figures import median
from benchmarks.rows import Row
from benchmarks.site import Site, client

COUNT = 200
REPEATS = 3
TIMEOUT = 600

ROWS = (
    Row("a call whose value is stored (`persist_result=True`)", "µs", "keep.persisted"),
    Row("a call that computes what is cached, and is the only one to", "µs", "keep.computed"),
    Row("a call that takes its value from the cache", "µs", "keep.cached"),
)


def caching(site: Site) -> dict[str, float]:
    """Microseconds in the user's thread. The storage is the default one: a directory of the machine."""
    figures: dict[str, list[float]] = {"keep.persisted": [], "keep.computed": [], "keep.cached": []}
    for repeat in range(REPEATS):
        numbers = {"first": repeat * COUNT, "count": COUNT}  # Whose values nobody has cached before.
        with client(site) as user:
            user.ask("flows", TIMEOUT, count=1)
            for name, kind in (("persisted", "persisted"), ("computed", "cached"), ("cached", "cached")):
                seconds = user.ask("keep", TIMEOUT, kind=kind, **numbers)
                figures[f"keep.{name}"].append(seconds * 1e6 / COUNT)
    return {name: median(told) for name, told in figures.items()}
