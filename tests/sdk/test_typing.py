"""1.1, 1.2: a type-checker sees the user's own signature through the decorators."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_decorators_keep_what_type_checkers_know_of_a_function(tmp_path):
    """1.1, 1.2: parameters, return types, async, methods, futures, maps, options; and wrong calls are told."""
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text(
        json.dumps(
            {
                "include": [str(ROOT / "tests/sdk/typed_flows.py")],
                "extraPaths": [str(ROOT)],
                "typeCheckingMode": "standard",
                "reportUnnecessaryTypeIgnoreComment": "error",
            }
        )
    )
    checker = [sys.executable, "-m", "basedpyright", "--project", str(settings), "--pythonpath", sys.executable]
    done = subprocess.run(checker, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
