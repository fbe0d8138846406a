"""How much is measured: a rival that takes a thousand times as long gets fewer repetitions."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sizes:
    """Numbers of repetitions, of tasks, of runs."""

    imports: int = 7
    repeats: int = 3
    calls: int = 10_000
    small_map: int = 1_000
    large_map: int = 10_000
    ingest: int = 20_000
    flows: int = 500
    triggers: int = 20
    fast_triggers: int = 0
    """Triggers with a shorter poll, for what polls."""
    burst: int = 50
    fibonacci: int = 3
    batch_seconds: float = 5.0


OURS = Sizes()
THEIRS = Sizes(repeats=1, calls=1_000, large_map=0, ingest=1_000, flows=20, triggers=4, fast_triggers=8, fibonacci=1)
_QUICK = {"imports": 3, "repeats": 1, "small_map": 100, "batch_seconds": 1.0, "fibonacci": 1}
OURS_QUICK = replace(OURS, **_QUICK, calls=500, large_map=1_000, ingest=1_000, flows=50, triggers=3, burst=6)
THEIRS_QUICK = replace(THEIRS, **_QUICK, calls=50, ingest=50, flows=2, triggers=1, fast_triggers=1, burst=0)
