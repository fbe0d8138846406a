"""From a signature to a form, to what a browser sends of it, to the value that the flow is called with."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import uuid
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import pydantic
import pytest
from django.http import QueryDict
from django.template.loader import render_to_string

from blocks.forms import SchemaForm
from orchestrator import flow
from orchestrator.blocks import Block
from orchestrator.exceptions import ParameterTypeError
from orchestrator.parameters import parameter_schema
from runs.schema import check_parameters, check_schema
from tenants.errors import Invalid
from tests.blocks.controls import successful


class Mode(enum.Enum):
    FAST = "fast"
    FULL = "full"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Source(pydantic.BaseModel):
    """Where rows come from."""

    url: str = pydantic.Field(description="With https", min_length=3)
    retries: Annotated[int, pydantic.Field(ge=0, le=5)] = 2
    tags: list[str] = []


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Node(pydantic.BaseModel):
    name: str
    children: list[Node] = []


@dataclasses.dataclass
class Window:
    """From when to when.

    Attributes:
        start: The first day.
    """

    start: dt.date
    end: dt.date | None = None


class Options(TypedDict):
    chunk: int
    note: NotRequired[str]


class Bucket(Block):
    name: str = "x"


Pet = Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]
ZONE = dt.timezone(dt.timedelta(hours=2))
ID = uuid.UUID("0192f0c1-2d3e-4f40-8a5b-6c7d8e9f0a1b")

# An annotation, a JSON value for it, and what the flow gets.
CORPUS: list[tuple[Any, Any, Any]] = [
    (str, "two words", "two words"),
    (str, "two\nlines", "two\nlines"),
    (str, "", ""),
    (int, 7, 7),
    (float, 2, 2.0),
    (float, 1e-7, 1e-7),
    (bool, True, True),
    (Optional[bool], None, None),  # noqa: UP045
    (int | None, None, None),
    (int | None, 5, 5),
    (str | None, None, None),
    (int | str, 5, 5),
    (int | str, "5", "5"),
    (float | int, 5, 5),
    (Annotated[int, pydantic.Field(ge=1, le=10)], 10, 10),
    (Annotated[str, pydantic.Field(max_length=4_000)], "x", "x"),
    (Mode, "full", Mode.FULL),
    (Level, 2, Level.HIGH),
    (Literal["a", "b"], "b", "b"),
    (Literal["a", 1, None], None, None),
    (Literal["only"], "only", "only"),
    (Literal["only"] | None, None, None),
    (dt.date, "2026-02-28", dt.date(2026, 2, 28)),
    (dt.time, "15:30:00", dt.time(15, 30)),
    (dt.datetime, "2026-02-28T15:30:00Z", dt.datetime(2026, 2, 28, 15, 30, tzinfo=dt.UTC)),
    (dt.datetime, "2026-02-28T15:30:00+02:00", dt.datetime(2026, 2, 28, 15, 30, tzinfo=ZONE)),
    (dt.datetime, "2026-02-28T15:30:00", dt.datetime(2026, 2, 28, 15, 30)),
    (dt.datetime | None, None, None),
    (dt.timedelta, "P1DT2H", dt.timedelta(days=1, hours=2)),
    (dt.timedelta, "PT0.25S", dt.timedelta(milliseconds=250)),
    (decimal.Decimal, "0.10", decimal.Decimal("0.10")),
    (uuid.UUID, str(ID), ID),
    (pathlib.Path, "a/b.csv", pathlib.Path("a/b.csv")),
    (bytes, "abc", b"abc"),
    (Any, {"a": [1, None]}, {"a": [1, None]}),
    (dict, {"a": 1}, {"a": 1}),
    (list, [1, "a", None], [1, "a", None]),
    (list[int], [1, 2, 3], [1, 2, 3]),
    (list[int], [], []),
    (list[int] | None, None, None),
    (list[Mode], ["fast", "full"], [Mode.FAST, Mode.FULL]),
    (list[list[str]], [["a"], []], [["a"], []]),
    (set[int], [1, 2], {1, 2}),
    (frozenset[str], ["a"], frozenset({"a"})),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2], (1, 2)),
    (dict[str, int], {"a.b": 1, "~": 2}, {"a.b": 1, "~": 2}),
    (dict[int, str], {"1": "a"}, {1: "a"}),
    (dict[str, list[Source]], {"a": [{"url": "abc", "retries": 1, "tags": []}]}, {"a": [Source(url="abc", retries=1)]}),
    (Source, {"url": "https://x", "retries": 0, "tags": ["a"]}, Source(url="https://x", retries=0, tags=["a"])),
    (Source | None, None, None),
    (list[Source], [{"url": "abc", "retries": 2, "tags": []}], [Source(url="abc")]),
    (Pet, {"kind": "dog", "name": "Rex"}, Dog(name="Rex")),
    (Pet, {"kind": "cat", "lives": 3}, Cat(lives=3)),
    (list[Pet], [{"kind": "cat", "lives": 3}, {"kind": "dog", "name": "b"}], [Cat(lives=3), Dog(name="b")]),
    (Cat | Dog | int, 3, 3),
    (Cat | Dog | None, {"kind": "dog", "name": "Rex"}, Dog(name="Rex")),
    (Window, {"start": "2026-01-01", "end": None}, Window(dt.date(2026, 1, 1))),
    (Options, {"chunk": 5, "note": "x"}, {"chunk": 5, "note": "x"}),
    (Options, {"chunk": 5}, {"chunk": 5}),
    (list[Options] | None, [{"chunk": 5}], [{"chunk": 5}]),
    (
        Node,
        {"name": "a", "children": [{"name": "b", "children": []}]},
        Node(name="a", children=[Node(name="b")]),
    ),
    (pydantic.SecretStr, "hidden", pydantic.SecretStr("hidden")),
    (pydantic.AnyUrl, "https://x.example/", pydantic.AnyUrl("https://x.example/")),
]  # fmt: skip


def a_flow(kind: Any, default: Any = ...) -> Any:
    def fn(x):
        return x

    fn.__annotations__ = {"x": kind}
    if default is not ...:
        fn.__defaults__ = (default,)
    return flow(fn)


def schema_of(made: Any) -> dict[str, Any]:
    schema = parameter_schema(made.fn)
    check_schema(schema)
    return schema


def sent(form: SchemaForm) -> QueryDict:
    query = QueryDict(mutable=True)
    for name, text in successful(render_to_string("components/schema_form/form.html", {"form": form})):
        query.appendlist(name, text)
    return query


@pytest.mark.parametrize(("kind", "given", "meant"), CORPUS)
def test_what_a_form_sends_is_what_was_meant(kind: Any, given: Any, meant: Any) -> None:
    made = a_flow(kind)
    schema = schema_of(made)
    query = sent(SchemaForm.of_values(schema, {"x": given}))
    if kind is pydantic.SecretStr:
        query["p.x"] = given  # It is not in the page; the person types it.
    form = SchemaForm.of_post(schema, query)
    assert form.problems == {}
    check_parameters(schema, form.value)
    got = made.validate_parameters(form.value)["x"]
    assert got == meant
    assert type(got) is type(meant)


@pytest.mark.parametrize(("kind", "given", "meant"), [each for each in CORPUS if each[0] is not pydantic.SecretStr])
def test_an_untouched_form_gives_the_default(kind: Any, given: Any, meant: Any) -> None:
    made = a_flow(kind, meant)
    schema = schema_of(made)
    form = SchemaForm.of_post(schema, sent(SchemaForm.of_values(schema, {})))
    assert form.problems == {}
    check_parameters(schema, form.value)
    assert made.validate_parameters({"x": meant, **form.value})["x"] == meant


@pytest.mark.parametrize(
    ("kind", "texts", "meant"),
    [
        (
            dt.datetime,
            {"p.x": "2026-07-01T12:00", "p.x~zone": "Europe/Oslo"},
            dt.datetime(2026, 7, 1, 10, tzinfo=dt.UTC),
        ),
        (dt.timedelta, {"p.x": "1d 2h"}, dt.timedelta(hours=26)),
        (dt.timedelta, {"p.x": "90 seconds"}, dt.timedelta(seconds=90)),
        (decimal.Decimal, {"p.x": "12.340"}, decimal.Decimal("12.340")),
        (float, {"p.x": " 1e3 "}, 1000.0),
        (bool, {"p.x": "on"}, True),
        (list[int], {"p.x": "[1, 2]"}, [1, 2]),
        (int | None, {"p.x": ""}, None),
        (Source, {"p.x~mode": "form", "p.x.url": "abc", "p.x.retries": "", "p.x.tags": "[]"}, Source(url="abc")),
    ],
)  # fmt: skip
def test_what_a_person_types(kind: Any, texts: dict[str, str], meant: Any) -> None:
    made = a_flow(kind)
    form = SchemaForm.of_post(schema_of(made), texts)
    assert form.problems == {}
    check_parameters(schema_of(made), form.value)
    assert made.validate_parameters(form.value)["x"] == meant


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (int, "x"), (int, 1.5), (int, None), (bool, "maybe"), (Mode, "slow"), (Literal["a"], "b"), (list[int], ["a"]),
        (dt.date, "soon"), (dt.date, "2026-02-30"), (dt.datetime, "soon"), (dt.time, "25:00"), (dt.timedelta, "soon"),
        (decimal.Decimal, "much"), (Annotated[decimal.Decimal, pydantic.Field(ge=5)], "4.9"), (uuid.UUID, "1"),
        (pydantic.AnyUrl, "nowhere"), (tuple[int, str], [1]), (Source, {}), (Source, {"url": "x"}),
        (Source, {"url": "abc", "retries": 6}), (Pet, {"kind": "bird"}), (Pet, {"kind": "dog"}),
        (Window, {"start": "x"}),
        (Options, {"note": "x"}), (dict[str, int], {"a": "b"}), (int | None, "x"), (list[Source] | None, [{"url": 1}]),
    ],
)  # fmt: skip
def test_the_schema_and_the_engine_refuse_the_same(kind: Any, given: Any) -> None:
    made = a_flow(kind)
    with pytest.raises(ParameterTypeError):
        made.validate_parameters({"x": given})
    with pytest.raises(Invalid):
        check_parameters(schema_of(made), {"x": given})
    # The form shows what doesn't fit, and sends it as it is.
    schema = schema_of(made)
    again = SchemaForm.of_post(schema, sent(SchemaForm.of_values(schema, {"x": given})))
    with pytest.raises(Invalid):
        check_parameters(schema, again.value)


def test_errors_of_unions_lead_into_the_branch_that_was_meant() -> None:
    def refused(kind: Any, given: Any) -> dict[str, str]:
        with pytest.raises(Invalid) as caught:
            check_parameters(schema_of(a_flow(kind)), {"x": given})
        return caught.value.fields or {}

    assert list(refused(Pet, {"kind": "dog"})) == ["parameters.x.name"]
    assert list(refused(list[Source] | None, [{"url": "abc"}, {"url": "x"}])) == ["parameters.x.1.url"]
    assert refused(int | None, "x") == {"parameters.x": "'x' is not of type integer or null"}
    bounded = Annotated[int, pydantic.Field(ge=1)] | None
    assert refused(bounded, 0) == {"parameters.x": "0 is less than the minimum of 1"}


def test_a_block_is_a_reference() -> None:
    schema = schema_of(a_flow(Bucket))
    form = SchemaForm.of_values(schema, {"x": {"$block": "bucket/lake"}})
    assert form.fields[0].kind == "block"
    assert SchemaForm.of_post(schema, sent(form)).value == {"x": {"$block": "bucket/lake"}}


def test_help_comes_from_docstrings_and_fields_keep_their_order() -> None:
    def google(source: Source, window: Window, pet: Pet):
        """Load.

        Args:
            source (Source, optional): Where from,
                and how.
            window: When.
        """

    def numpy(source, window):
        """Load.

        Parameters
        ----------
        source, window : Source
            Both of
            them.

        Returns
        -------
        int
            Nothing: much.
        """

    def sphinx(source, window):
        """Load.

        :param Source source: Where from,
            and how.
        :param window: When.
        :type window: Window
        :returns: Nothing
        """

    def helps(fn: Any) -> dict[str, str]:
        return {name: part.get("description", "") for name, part in parameter_schema(fn)["properties"].items()}

    assert helps(google) == {"source": "Where from, and how.", "window": "When.", "pet": ""}
    assert helps(numpy) == {"source": "Both of them.", "window": "Both of them."}
    assert helps(sphinx) == {"source": "Where from, and how.", "window": "When."}

    definitions = parameter_schema(google)["$defs"]
    assert definitions["Window"]["description"] == "From when to when."
    assert definitions["Window"]["properties"]["start"]["description"] == "The first day."
    form = SchemaForm.of_values({**parameter_schema(google)}, {"source": {"url": "abc"}})
    assert [each.key for each in form.fields[0].children] == ["url", "retries", "tags"]
    assert [each.label for each in form.fields] == ["Source", "Window", "Pet"]
