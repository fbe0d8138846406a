"""What the figures mean: their names, their units, and the targets that this project set itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `ours` and `theirs` name the figures that stand side by side; they are the same unless one product has a choice.
    """

    title: str
    unit: str
    ours: str
    theirs: str = ""
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
        Row(f"{title}, user thread", "µs per task", f"{name}.us", at_most=at_most),
        Row(f"{title}, until all is recorded after the flow's end", "s", f"{name}.drain"),
        Row(f"{title}, CPU of client + server + database", "µs per task", f"{name}.cpu"),
    ]


ROWS = [
    Row("`import flow, task`, less bare Python", "ms", "import.ms", at_most=120),
    Row("… memory of that process", "MiB", "import.memory"),
    Row("… own modules loaded", "", "import.modules", at_most=40),
    Row("… network libraries loaded", "", "import.network", at_most=0),
    *_tasks("task called in a loop", "call", at_most=50),
    *_tasks("`.submit`", "submit"),
    *_tasks("`.map`, small", "map"),
    *_tasks("`.map`, large", "large_map"),
    Row("empty flow called, median", "ms", "flow.ms", at_most=1),
    Row("empty flow called, p95", "ms", "flow.p95"),
    Row("subflow called, median", "ms", "subflow.ms", at_most=0.5),
    Row("subflow called, p95", "ms", "subflow.p95"),
    Row("tasks recorded end to end", "per s", "ingest.rate", at_least=8_000, more_is_better=True),
    Row("… drain after the flow's end", "s", "ingest.drain"),
    Row("… CPU of client + server + database", "µs per task", "ingest.cpu"),
    Row("database, tables and indexes", "bytes per task run", "bytes", at_most=500),
    Row("small journal batches, 8 senders", "per s", "batches.rate", at_least=250, more_is_better=True),
    Row("… p95", "ms", "batches.p95"),
    Row("trigger → user code, cold process, p50; Prefect polls every 10 s", "ms", "trigger.default", at_most=500),
    Row("… p95", "ms", "trigger.default.p95"),
    Row("the same; Prefect polls every 0.5 s, p50", "ms", "trigger.default", "trigger.fast", at_most=500),
    Row("… p95", "ms", "trigger.default.p95", "trigger.fast.p95"),
    Row("many runs triggered at once: user code runs in the first", "s", "burst.first"),
    Row("… and in all", "s", "burst.all", at_most=2),
    Row("40 × fibonacci(10), trigger to end; Prefect polls every 0.5 s", "s", "fibonacci.light", at_most=0.15),
    Row("… bare Python", "s", "fibonacci.light.bare", compared=False),
    Row("10 × fibonacci(33), trigger to end; Prefect polls every 0.5 s", "s", "fibonacci.heavy"),
    Row("… bare Python", "s", "fibonacci.heavy.bare", compared=False),
    Row("… over bare Python", "×", "fibonacci.heavy.ratio", at_most=1.05),
]
