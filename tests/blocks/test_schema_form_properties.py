"""For random schemas: a value that a schema allows comes back from its form as it went in."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.schema import check_parameters
from tests.blocks.test_schema_form import back, of

TEXT = st.text(max_size=8)
NAMES = st.one_of(st.sampled_from(["a", "b", "a.b", "~", "p~mode", "x y", "ü", "0"]), TEXT)
WHOLE = st.integers(-(2**60), 2**60)
PAIR = tuple[dict[str, Any], st.SearchStrategy[Any]]

LEAVES: list[PAIR] = [
    ({"type": "string"}, TEXT),
    ({"type": "integer"}, WHOLE),
    ({"type": "number"}, WHOLE | st.floats(allow_nan=False, allow_infinity=False)),
    ({"type": "boolean"}, st.booleans()),
    ({"enum": ["a", 1, True, "", "1"]}, st.sampled_from(["a", 1, True, "", "1"])),
    ({"type": "string", "format": "date"}, st.dates().map(lambda day: day.isoformat())),
    ({"type": "string", "format": "time"}, st.times().map(lambda time: time.isoformat())),
    ({"type": "string", "format": "date-time"}, st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")),
    ({"type": "string", "format": "date-time"}, st.datetimes().map(lambda moment: moment.isoformat())),
    ({"type": "string", "format": "duration"}, st.sampled_from(["PT1H", "P1DT1S", "P2W", "-PT5M", "PT0S"])),
    ({}, st.recursive(st.none() | WHOLE | TEXT, lambda inner: st.lists(inner, max_size=2), max_leaves=4)),
]  # fmt: skip


def of_list(pair: PAIR) -> st.SearchStrategy[PAIR]:
    return st.just(({"type": "array", "items": pair[0]}, st.lists(pair[1], max_size=3)))


def of_map(pair: PAIR) -> st.SearchStrategy[PAIR]:
    values = st.dictionaries(NAMES, pair[1], max_size=3)
    return st.just(({"type": "object", "additionalProperties": pair[0]}, values))


def or_null(pair: PAIR) -> st.SearchStrategy[PAIR]:
    return st.just(({"anyOf": [pair[0], {"type": "null"}]}, st.none() | pair[1]))


def of_either(pairs: list[PAIR]) -> st.SearchStrategy[PAIR]:
    return st.just(({"anyOf": [pair[0] for pair in pairs]}, st.one_of([pair[1] for pair in pairs])))


def of_objects(pairs: dict[str, PAIR], optional: set[str]) -> PAIR:
    required = {name: pair[1] for name, pair in pairs.items() if name not in optional}
    rest = {name: pair[1] for name, pair in pairs.items() if name in optional}
    schema = of({name: pair[0] for name, pair in pairs.items()}, tuple(required))
    return schema, st.fixed_dictionaries(required, optional=rest)


@st.composite
def objects(draw: Any, pairs: Any) -> PAIR:
    chosen = draw(st.dictionaries(NAMES, pairs, min_size=1, max_size=3))
    return of_objects(chosen, draw(st.sets(st.sampled_from(sorted(chosen)))))


def deeper(pairs: Any) -> Any:
    return st.one_of(
        pairs.flatmap(of_list),
        pairs.flatmap(of_map),
        pairs.flatmap(or_null),
        st.lists(pairs, min_size=2, max_size=3).flatmap(of_either),
        objects(pairs),
    )


PAIRS = st.recursive(st.sampled_from(LEAVES), deeper, max_leaves=5)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_value_that_the_schema_allows_comes_back(data: Any) -> None:
    schema, values = data.draw(objects(PAIRS))
    value = data.draw(values)
    check_parameters(schema, value)
    got = back(schema, value)
    assert json.dumps(got, sort_keys=True) == json.dumps(value, sort_keys=True)
