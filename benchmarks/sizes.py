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
    new_code: int = 0
    """Deployments of new code, of each the first run."""
    burst: int = 50
    fibonacci: int = 3
    batch_seconds: float = 5.0
    idle_seconds: float = 30.0
    agents: int = 0
    """Idle agents at once."""
    agents_seconds: float = 90.0
    flood: int = 500
    runs: int = 300
    """Through an executor of few slots, all triggered at once."""
    schedules: int = 500
    many_schedules: int = 0
    schedule_minutes: int = 3
    listed: tuple[int, ...] = (10_000, 1_000_000)
    """Runs in the workspace whose list is asked for."""
    lists: int = 100


OURS = Sizes(new_code=5, agents=1_000, many_schedules=10_000)
PREFECT = Sizes(
    repeats=1, calls=1_000, large_map=0, ingest=1_000, flows=20, triggers=4, fast_triggers=8, fibonacci=1, runs=20
)
CELERY = Sizes(calls=3_000, large_map=0, ingest=5_000)
_QUICK = {
    "imports": 3,
    "repeats": 1,
    "small_map": 100,
    "batch_seconds": 1.0,
    "fibonacci": 1,
    "idle_seconds": 5.0,
    "agents_seconds": 10.0,
    "flood": 0,
    "schedules": 20,
    "schedule_minutes": 1,
    "listed": (1_000,),
    "lists": 10,
}
OURS_QUICK = replace(
    OURS,
    **_QUICK,
    calls=500,
    large_map=1_000,
    ingest=1_000,
    flows=50,
    triggers=3,
    new_code=1,
    burst=6,
    agents=100,
    many_schedules=0,
    runs=10,
)
PREFECT_QUICK = replace(PREFECT, **_QUICK, calls=50, ingest=50, flows=2, triggers=1, fast_triggers=1, burst=0, runs=2)
CELERY_QUICK = replace(CELERY, **_QUICK, calls=300, ingest=500, triggers=3, burst=6)
