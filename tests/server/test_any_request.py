"""7.4: whatever requests look like, sound or not: the API answers as it describes itself, and never by 500.

Requests are made from the description by schemathesis, the same ones each time; `make schema` makes many more, against
a running server. Each answer is compared with its declaration by tests/declared.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.cast import Api, Company
from tests.server.routes import pattern_of
from tests.server.things_of_acme import furnish

if TYPE_CHECKING:  # Importing it takes half a second, which nobody else has to wait for.
    from schemathesis import APIOperation, Case

pytestmark = pytest.mark.django_db
SOUND, OTHERS = 2, 1  # requests of each operation


def operations() -> Iterator[APIOperation]:
    import schemathesis

    import tests.server.ndjson  # noqa: F401 - journals can be sent then
    from orchestrator.server.openapi import description

    for found in schemathesis.openapi.from_dict(description()).get_all_operations():
        yield found.ok()


def route_of(operation: APIOperation) -> str:
    """The name of an operation's route: `get_flow_run` → `api-flow-run`."""
    return f"api-{operation.definition.raw['operationId'].partition('_')[2].replace('_', '-')}"


def body_of(case: Case) -> bytes:
    if isinstance(case.body, bytes):
        return case.body
    return b"" if case.media_type is None else json.dumps(case.body, default=str).encode()


def ask(api: Api, case: Case) -> Any:
    with transaction.atomic():
        query = {name: values for name, values in (case.query or {}).items() if values is not None}
        response = api.client.generic(
            case.method, case.formatted_path, body_of(case), content_type=case.media_type or "", query_params=query
        )
        transaction.set_rollback(True)
    return response


def ask_often(api: Api, times: int, cases: Any) -> None:
    @seed(7)
    @settings(max_examples=times, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=cases)
    def answered(case: Any) -> None:
        response = ask(api, case)
        assert response.status_code < 500, f"{case.method} {case.formatted_path}: {response.content[:500]!r}"

    answered()


def test_any_request_is_answered_as_described(acme: Company, api: Api) -> None:
    from schemathesis import GenerationMode

    known = furnish(acme, api)
    for operation in operations():
        name = route_of(operation)
        things = known.get(name, {})
        own = {each: str(things[each].acmes) for each in pattern_of(name).pattern.converters}
        for mode, times in ((GenerationMode.POSITIVE, SOUND), (GenerationMode.NEGATIVE, OTHERS)):
            ask_often(api, times, operation.as_strategy(generation_mode=mode, path_parameters=own))
