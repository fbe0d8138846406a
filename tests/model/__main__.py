"""`make model`: ask the server and its model for as long as you like, by random seeds that are printed."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time

EXAMPLES = 300  # of one seed: about two minutes


def main() -> int:
    """Ask by one seed after another until the time is over or something is found."""
    parser = argparse.ArgumentParser(prog="make model", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="begin no more seeds after this (default: 5)")
    parser.add_argument("--seed", type=int, help="ask by this seed alone")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help=f"sequences by each seed (default: {EXAMPLES})")
    wanted = parser.parse_args()
    until = time.monotonic() + wanted.minutes * 60
    while True:
        seed = wanted.seed if wanted.seed is not None else random.SystemRandom().randrange(2**32)
        print(f"seed {seed}: make model ARGS='--seed {seed} --examples {wanted.examples}' asks the same", flush=True)
        if (status := _ask(seed, wanted.examples)) or wanted.seed is not None or time.monotonic() > until:
            return status


def _ask(seed: int, examples: int) -> int:
    variables = {**os.environ, "MODEL_EXAMPLES": str(examples), "MODEL_SEED": str(seed)}
    command = [sys.executable, "-m", "pytest", "-q", "tests/model", f"--hypothesis-seed={seed}"]
    return subprocess.run(command, env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
