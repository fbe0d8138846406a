"""`make schema`: many requests of every kind to a running server, by a key of each role: none is answered by 500, by a
status that is not described, or by something else than is described.

Not collected with the other tests: by default it takes some minutes. SCHEMA_EXAMPLES says how many requests of each
operation are made up, SCHEMA_SEED by which seed.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from tenants.models import WorkspaceRole
from tests.cast import Api, Company
from tests.server.things_of_acme import furnish

pytestmark = pytest.mark.django_db(transaction=True)
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance",
)  # fmt: skip
EXAMPLES = os.environ.get("SCHEMA_EXAMPLES", "30")
SEED = os.environ.get("SCHEMA_SEED") or str(random.SystemRandom().randrange(2**32))


@pytest.mark.parametrize("role", list(WorkspaceRole))
def test_a_running_server_answers_as_it_describes(role: str, served: str, acme: Company, api: Api) -> None:
    furnish(acme, api)
    program = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    command = [
        program, "run", f"{served}/api/v1/openapi.json", "--url", served, "--seed", SEED, "--max-examples", EXAMPLES,
        "--checks", ",".join(CHECKS), "--header", f"Authorization: Bearer {acme.key('schema', role)}",
        "--generation-database", "none", "--suppress-health-check", "all", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.server.ndjson"}
    )
    told = "\n".join(line[:500] for line in done.stdout.splitlines())
    assert done.returncode == 0, f"SCHEMA_SEED={SEED} asks the same.\n{told[-20_000:]}{done.stderr[-2_000:]}"
