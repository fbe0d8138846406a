"""Score many rows by a model, on all cores: the work is Python and holds the GIL, so tasks run in processes.

What it shows: `ProcessPoolTaskRunner` with tasks like any others (what they log is recorded as if they ran here), and
a batch that fails without taking the others along: `allow_failure` hands over what there is, and the rest is told.

    python -m examples.batch_inference
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator import allow_failure, flow, get_run_logger, task
from orchestrator.task_runners import ProcessPoolTaskRunner

Row = dict[str, float]


@dataclass(frozen=True)
class Stump:
    """One split of one feature, and what either side says for the answer."""

    feature: str
    threshold: float
    below: float
    above: float

    def vote(self, row: Row) -> float:
        """What this stump says of a row."""
        return self.below if row[self.feature] < self.threshold else self.above


def log_odds(answers: Sequence[bool]) -> float:
    """Of a positive answer, by Laplace's rule."""
    return math.log((sum(answers) + 1) / (len(answers) - sum(answers) + 1))


@task
def train(rows: Sequence[Row], answers: Sequence[bool], stumps: int) -> list[Stump]:
    """Fit stumps to random thresholds: how much likelier a positive answer is on either side, as log-odds."""
    chance, model = random.Random(3), []
    usual = log_odds(answers)
    for _ in range(stumps):
        feature = chance.choice(sorted(rows[0]))
        threshold = chance.choice(rows)[feature]
        sides: tuple[list[bool], list[bool]] = ([], [])
        for row, answer in zip(rows, answers, strict=True):
            sides[row[feature] >= threshold].append(answer)
        below, above = (log_odds(side) - usual for side in sides)
        model.append(Stump(feature, threshold, below, above))
    return model


@task(task_run_name="score-{number}")
def score(model: Sequence[Stump], number: int, rows: Sequence[Row]) -> list[bool]:
    """What the model says of each row of a batch."""
    answers = [sum(stump.vote(row) for stump in model) > 0 for row in rows]
    get_run_logger().info("batch %d: %d of %d positive", number, sum(answers), len(rows))
    return answers


@task
def summary(batches: Sequence[list[bool] | BaseException]) -> dict[str, int]:
    """How many rows were scored, how many of them are positive, and how many batches failed."""
    scored = [answer for batch in batches if isinstance(batch, list) for answer in batch]
    failed = sum(isinstance(batch, BaseException) for batch in batches)
    return {"rows": len(scored), "positive": sum(scored), "failed": failed}


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def score_all(rows: list[Row], known: int = 200, batch: int = 250, stumps: int = 40) -> dict[str, int]:
    """Learn from the first rows, whose answers are known, and score all others in batches.

    Args:
        rows: Measurements; `spend` over 50 in a `month` below 6 is what the model has to find.
        known: How many rows to learn from.
        batch: Rows that one task scores.
        stumps: Size of the model.
    """
    answers = [row["spend"] > 50 and row["month"] < 6 for row in rows[:known]]
    model = train(rows[:known], answers, stumps)
    unknown = rows[known:]
    batches = [unknown[start : start + batch] for start in range(0, len(unknown), batch)]
    scored = [score.submit(model, number, part) for number, part in enumerate(batches)]
    return summary([allow_failure(future) for future in scored])


def customers(number: int) -> list[Row]:
    """Made-up customers, the same each time."""
    chance = random.Random(11)
    return [{"spend": chance.uniform(0, 100), "month": float(chance.randrange(12))} for _ in range(number)]


if __name__ == "__main__":
    print(score_all(customers(3_000)))
