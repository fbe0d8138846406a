"""Who may what, and the one shape of refusals."""

from __future__ import annotations

import pytest

from tests.contract.journals import Journal
from tests.contract.test_triggers import UNKNOWN, error
from tests.contract.worlds import World

# ── who may, and what is refused how ─────────────────────────────────────────────────────────────

ASKED = [
    ("get", "/me"), ("get", "/deployments"), ("post", "/deployments"), ("get", "/flow-runs"), ("post", "/flow-runs"),
    ("post", f"/flow-runs/{UNKNOWN}/cancel"), ("get", f"/flow-runs/{UNKNOWN}/logs"), ("get", "/work-pools"),
    ("post", "/work-pools"), ("post", "/agents"), ("post", f"/agents/{UNKNOWN}/claim"), ("get", "/variables"),
    ("put", "/variables/x"), ("delete", "/variables/x"), ("put", f"/bundles/{'0' * 64}"),
    ("get", f"/bundles/{'0' * 64}"), ("post", "/journal"), ("post", f"/deployments/{UNKNOWN}/pause"),
]  # fmt: skip
MAY: dict[str, str] = {  # in the order of ASKED
    "viewer": "xx-x--xx---x------",
    "runner": "xx-xxxxx---x------",
    "agent": "xx-----x-xx----xx-",
    "developer": "xxxxxxxxxxxxxxxxxx",
    "owner": "xxxxxxxxxxxxxxxxxx",
}


@pytest.mark.parametrize("role", MAY)
def test_what_each_role_may(world: World, role: str) -> None:
    own = world.as_role(role)
    allowed = "".join("-" if getattr(own, method)(path).status_code == 403 else "x" for method, path in ASKED)
    assert allowed == MAY[role]


@pytest.mark.parametrize("key", ["", "orc_nonsense", "nonsense"])
def test_without_a_key_nothing_is_told(world: World, key: str) -> None:
    for method, path in ASKED:
        assert error(getattr(world.with_key(key), method)(path), 401)["code"] == "unauthorized"


@pytest.mark.parametrize("path", ["/nothing", "/flow-runs/nobody", "/flow-runs/", "/variables/a/b", "/"])
def test_what_is_no_address(world: World, path: str) -> None:
    assert error(world.api.get(path), 404)["code"] == "not_found"


@pytest.mark.parametrize(("method", "path"), [("delete", "/flow-runs"), ("put", "/me"), ("get", "/journal")])
def test_a_method_that_an_address_has_not(world: World, method: str, path: str) -> None:
    assert error(getattr(world.api, method)(path), 405)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("spoken", "status", "what_to_do"),
    [
        ("1", 200, ""),
        ("0", 426, "pip install -U orchestrator"),
        ("x", 426, "pip install -U"),
        ("99", 426, "Upgrade the server"),
    ],
)
def test_who_speaks_another_version_is_told_what_to_do(world: World, spoken: str, status: int, what_to_do: str) -> None:
    journal = Journal(world.api)
    response = world.api.post("/journal", journal.body([journal.begin()]), **{"Orchestrator-Wire": spoken})
    assert response.status_code == status
    if status == 426:
        told = error(response, 426)
        assert told["code"] == "wire_version"
        assert what_to_do in told["message"]
