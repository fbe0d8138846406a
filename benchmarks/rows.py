"""What the figures mean: their names, their units, and the targets that this project set itself."""

from dataclasses import dataclass

NOTHING = "nothing"
"""The name of no figure, for what would be compared with something else."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `ours`, `prefect` and `celery` name the figures that stand side by side; they are the same unless a product has a
    choice.
    """

    title: str
    unit: str
    ours: str
    prefect: str = ""
    celery: str = ""
    at_most: float | None = None
    at_least: float | None = None
    more_is_better: bool = False
    compared: bool = True

    @property
    def target(self) -> str:
        bound, sign = (self.at_most, "≤") if self.at_most is not None else (self.at_least, "≥")
        return "" if bound is None else f"{sign} {bound:,g}"

    def met(self, value: float) -> bool:
        """Whether the target is met; true where there is none."""
        if self.at_most is not None:
            return value <= self.at_most
        return self.at_least is None or value >= self.at_least


def _tasks(title: str, name: str, at_most: float | None = None) -> list[Row]:
    """The three rows of one way to run many tasks."""
    return [
        Row(f"{title}: user thread", "µs per task", f"{name}.us", at_most=at_most),
        Row("… until all is recorded, after that", "s", f"{name}.drain"),
        Row("… CPU of client, server and stores", "µs per task", f"{name}.cpu"),
    ]


def triggers(title: str, ours: str, prefect: str, at_most: float, celery: str = NOTHING) -> list[Row]:
    """The two rows of one way to execute runs."""
    return [
        Row(f"trigger → user code, {title}: p50", "ms", f"trigger.{ours}", f"trigger.{prefect}", celery, at_most),
        Row("… p95", "ms", f"trigger.{ours}.p95", f"trigger.{prefect}.p95", f"{celery}.p95"),
    ]


TRIGGERS = [
    *triggers("warm process; Prefect polls every 10 s", "warm", "default", 50, "trigger.default"),
    *triggers("warm process; Prefect polls every 0.5 s", "warm", "fast", 50),
    *triggers("cold process; Prefect polls every 10 s", "fresh", "default", 500),
    *triggers("cold process; Prefect polls every 0.5 s", "fresh", "fast", 500),
    Row("first run of new code; Prefect polls every 0.5 s: p50", "ms", "trigger.new", "trigger.fast", at_most=500),
    Row("… the slowest", "ms", "trigger.new.most", "trigger.fast.p95"),
]
FIBONACCI = [
    Row("40 × fibonacci(10), trigger to end; Prefect polls every 0.5 s", "s", "fibonacci.light", at_most=0.15),
    Row("… bare Python", "s", "fibonacci.light.bare", compared=False),
    Row("10 × fibonacci(33), trigger to end; Prefect polls every 0.5 s", "s", "fibonacci.heavy"),
    Row("… bare Python", "s", "fibonacci.heavy.bare", compared=False),
    Row("… over bare Python", "×", "fibonacci.heavy.ratio", at_most=1.05),
]
EXECUTOR = [
    Row("idle executor: share of a core", "%", "executor.cpu"),
    Row("… memory", "MiB", "executor.memory"),
]
ROWS = [
    Row("import of what a user needs, less bare Python", "ms", "import.ms", at_most=120),
    Row("… memory of that process", "MiB", "import.memory"),
    Row("… own modules loaded", "", "import.modules", at_most=40),
    Row("… network libraries loaded", "", "import.network", at_most=0),
    *_tasks("task called in a loop (Celery: `delay`)", "call", at_most=50),
    *_tasks("`.submit` and the results (Celery: `delay`, `get`)", "submit"),
    *_tasks("`.map`, small (Celery: `group`)", "map"),
    *_tasks("`.map`, large", "large_map"),
    Row("empty flow called: median", "ms", "flow.ms", at_most=1),
    Row("… p95", "ms", "flow.p95"),
    Row("subflow called: median", "ms", "subflow.ms", at_most=0.5),
    Row("… p95", "ms", "subflow.p95"),
    Row("tasks recorded end to end", "per s", "ingest.rate", at_least=8_000, more_is_better=True),
    Row("… until all is recorded, after the loop", "s", "ingest.drain"),
    Row("… CPU of client, server and stores", "µs per task", "ingest.cpu"),
    Row("database, tables and indexes", "bytes per task run", "bytes", at_most=500),
    Row("small journal batches, 8 senders", "per s", "batches.rate", at_least=250, more_is_better=True),
    Row("… p95", "ms", "batches.p95"),
    *TRIGGERS,
    Row("50 runs triggered at once: user code runs in the first", "s", "burst.first"),
    Row("… and in all", "s", "burst.all", at_most=2),
    *FIBONACCI,
    *EXECUTOR,
    Row("1,000 idle agents: share of a core, web process", "%", "agents.web", at_most=5),
    Row("… without them", "%", "agents.web.alone"),
    Row("… of it theirs in the database", "%", "agents.postgres"),
    Row("… and in Valkey", "%", "agents.redis"),
    Row("… memory of the web process", "MB", "agents.memory", at_most=300),
    Row("… database transactions", "per agent and s", "agents.queries", at_most=0.1),
    Row("… trigger → claimed by one of them: p50", "ms", "agents.wake"),
    Row("… p95", "ms", "agents.wake.p95"),
    Row("… agents woken", "per run", "agents.woken"),
    Row("… at most", "per run", "agents.woken.most"),
]
