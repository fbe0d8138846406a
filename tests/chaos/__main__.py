"""`make chaos`: break everything at random for some minutes, heal it, prove that nothing is stuck, lost or doubled."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.story import Story


def main() -> int:
    """Read the options, tell the story, print what was found."""
    options = _parser().parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10_000)
    folder = Path(tempfile.mkdtemp(prefix=f"orchestrator-chaos-{seed}-"))
    folder.chmod(0o755)
    story = Story(folder, seed, postgres_url=options.postgres or "", redis_url=options.redis or "")
    print(f"seed {seed}, {options.minutes:g} minutes; everything is written to {folder}", flush=True)
    violations = story.tell(options.minutes * 60)
    print(story.report())
    return 1 if violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults go on (10)")
    parser.add_argument("--seed", type=int, help="of the plan of faults; a random one by default, printed")
    parser.add_argument(
        "--postgres", metavar="URL", help="an administrator's address of a server to use; its roles get new passwords"
    )
    parser.add_argument("--redis", metavar="URL", help="an empty database of a Redis or Valkey server to use")
    return parser


if __name__ == "__main__":
    sys.exit(main())
