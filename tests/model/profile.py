"""How long the model is asked: a little in every test run, as long as you like by `make model`."""

import os

from hypothesis import HealthCheck, settings

AT_LENGTH = "MODEL_EXAMPLES" in os.environ
THREADS_SEED = int(os.environ.get("MODEL_SEED", "0"))
ROUNDS = 60 if AT_LENGTH else 6

SETTINGS = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "60")),
    stateful_step_count=60 if AT_LENGTH else 40,
    derandomize=not AT_LENGTH,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
