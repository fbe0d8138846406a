"""Which settings of a model are best? Every combination is a task, side by side, judged by cross-validation.

What it shows: `.map` over a grid with what is the same for all left `unmapped`, and `as_completed`: the log tells the
best so far as soon as it is known, and a combination that can't be fitted costs that combination only.

    python -m examples.grid_search
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from orchestrator import flow, get_run_logger, task, unmapped
from orchestrator.futures import as_completed

GRID: dict[str, list[Any]] = {"C": [0.01, 0.1, 1.0, 10.0], "l1_ratio": [0.0, 1.0], "solver": ["liblinear", "lbfgs"]}


@task
def dataset() -> tuple[np.ndarray, np.ndarray]:
    """569 tumours, 30 measurements of each, and which were malignant."""
    return load_breast_cancer(return_X_y=True)


@task(task_run_name="C={settings[C]} l1={settings[l1_ratio]} {settings[solver]}")
def judge(settings: dict[str, Any], data: tuple[np.ndarray, np.ndarray], folds: int) -> tuple[float, dict[str, Any]]:
    """The mean accuracy of a model with these settings, and the settings."""
    features, malignant = data
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, **settings))
    scores = cross_val_score(model, features, malignant, cv=folds, error_score="raise")
    return float(scores.mean()), settings


@flow
def best_settings(grid: dict[str, list[Any]] | None = None, folds: int = 3) -> dict[str, Any]:
    """Try all combinations; the best one with its accuracy.

    Args:
        grid: The values of each setting.
        folds: Parts of the data, each of which is predicted from the others.
    """
    grid = GRID if grid is None else grid
    combinations = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    log, best, refused = get_run_logger(), (0.0, {}), 0
    for future in as_completed(judge.map(combinations, unmapped(dataset()), unmapped(folds))):
        if not future.state.is_completed():
            refused += 1
        elif (found := future.result())[0] > best[0]:
            best = found
            log.info("%.2f %% with %s", 100 * best[0], best[1])
    log.info("%d combinations tried, %d of them can't be fitted.", len(combinations), refused)
    return {"accuracy": best[0], **best[1], "refused": refused}


if __name__ == "__main__":
    print(best_settings())
