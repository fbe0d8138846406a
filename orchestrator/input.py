"""What flows ask people for, and what runs send each other: typed, checked where it is given and where it is taken.

    class Refund(RunInput):
        amount: float
        reason: str = ""

    pause_flow_run(wait_for_input=Refund.with_initial_data(amount=12.5))

A model of pydantic's does as well, and so does a plain type: `wait_for_input=int`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PrivateAttr, TypeAdapter, ValidationError

from orchestrator.client import Client, in_context
from orchestrator.config import current_api
from orchestrator.context import current_flow_run
from orchestrator.counterparts import missing
from orchestrator.exceptions import Conflict, InputRefused, MissingContext, NotConfigured, NotPaused, TimedOut

T = TypeVar("T")
HOUR = 3600.0  # seconds


@dataclass(frozen=True)
class RunInputMetadata:
    """Where a message came from: its kind, who sent it, and the run that received it."""

    key: str
    sender: str
    receiver: UUID


class RunInput(BaseModel):
    """What a flow waits for, or is sent: a model of pydantic's with a form on the run's page."""

    model_config = ConfigDict(extra="forbid")

    _initial: ClassVar[dict[str, Any]] = {}
    _description: ClassVar[str] = ""
    _plain: ClassVar[Any] = None  # The class that people wrote, of which answers are.
    _metadata: RunInputMetadata | None = PrivateAttr(default=None)

    @classmethod
    def with_initial_data(cls, description: str | None = None, **values: Any) -> type[Self]:
        """The same, with values that stand in the form at first, and a text above it.

        Args:
            description: What people read, as markdown.
            values: By field.

        Raises:
            TypeError: There is no such field.

        >>> class Refund(RunInput):
        ...     amount: float
        >>> Refund.with_initial_data(amount=12.5).__name__
        'Refund'
        """
        if unknown := values.keys() - cls.model_fields.keys():
            raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(unknown))}.")
        made: Any = type(cls.__name__, (cls,), {"__module__": cls.__module__, "__doc__": cls.__doc__})
        made._initial = {**cls._initial, **values}
        made._plain = cls._plain or cls
        made._description = cls._description if description is None else description
        return made

    @property
    def metadata(self) -> RunInputMetadata:
        """Where it came from.

        Raises:
            MissingContext: It was not received.
        """
        if self._metadata is None:
            raise MissingContext("This was not received from anybody: it has no sender.")
        return self._metadata

    def send_to(self, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None) -> Any:
        """Send it to a run. In a coroutine it is awaited."""
        return send_input(self, flow_run_id, sender, key_prefix)

    def respond(self, run_input: Any, sender: str | None = None, key_prefix: str | None = None) -> Any:
        """Send something back to the run that has sent this.

        Raises:
            MissingContext: It was not sent by a run.
        """
        who = self.metadata.sender
        if not who.startswith("flow-run."):
            raise MissingContext(f"{who or 'Who has sent this'} is no run: nobody would read the answer.")
        return send_input(run_input, who.removeprefix("flow-run."), sender, key_prefix)

    @classmethod
    def receive(cls, **options: Any) -> Messages[Self]:
        """`receive_input` of this type."""
        return receive_input(cls, **options)


class AutomaticRunInput(RunInput, Generic[T]):
    """A plain value as it is sent: `value` is it."""

    value: T


# ── forms ────────────────────────────────────────────────────────────────────────────────────────


class Form:
    """What is asked for, as a JSON Schema, and how an answer becomes a value.

    Raises:
        TypeError: It asks for secrets, which would stand in the answer for all to read.
    """

    def __init__(self, kind: Any) -> None:
        from orchestrator.type_schemas import known_to_pydantic, schemas_of

        self._is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
        plain = getattr(kind, "_plain", None) or kind if self._is_model else known_to_pydantic(kind)
        self._adapter: TypeAdapter[Any] = TypeAdapter(plain)
        found, definitions = schemas_of({"value": self._adapter})
        self.schema = self._object(found["value"], dict(definitions))
        self.initial: dict[str, Any] = _initial_of(kind) if self._is_model else {}
        self.description: str = getattr(kind, "_description", "") if self._is_model else ""
        if re.search(r"'format': 'password'|'writeOnly': True", repr(self.schema)):
            raise TypeError(
                "A form shows what is answered to all who see the run: ask for the name of a block, not for a secret."
            )

    def _object(self, schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
        """A schema of an object: that of a model itself, or of one field."""
        rest = {"$defs": definitions} if definitions else {}
        if not self._is_model:
            return {
                "type": "object",
                "properties": {"value": {"title": "Value", **schema}},
                "required": ["value"],
                **rest,
            }
        name = schema.get("$ref", "").rpartition("/")[2]
        return {**definitions.get(name, {}), **{k: v for k, v in schema.items() if k != "$ref"}, **rest}

    def read(self, value: Any) -> Any:
        """The value of an answer.

        Raises:
            InputRefused: The type does not take it.
        """
        told = value if self._is_model else (value or {}).get("value")
        try:
            return self._adapter.validate_python(told or {} if self._is_model else told)
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, each['loc'])) or 'value'}: {each['msg']}" for each in error.errors()[:10]]
            raise InputRefused("; ".join(lines)) from None


def _initial_of(model: type[BaseModel]) -> dict[str, Any]:
    from orchestrator.storable import json_value

    return json_value(getattr(model, "_initial", {}))


# ── messages ─────────────────────────────────────────────────────────────────────────────────────


def send_input(
    run_input: Any, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None
) -> Any:
    """Send something to a run, which receives it by its type. In a coroutine it is awaited.

    Args:
        run_input: A RunInput, a model, or a plain value of up to 64 KiB of JSON.
        sender: Who is told to have sent it; by default the run that sends, or the API key.
        key_prefix: Tells several mailboxes of one type apart; the receiver names the same one.

    Raises:
        NotPaused: The run has ended, or was sent too much.
        ApiError: The API refused, or could not be reached.
    """
    return in_context(_send, run_input, flow_run_id, sender, key_prefix)


async def asend_input(
    run_input: Any, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None
) -> None:
    """`send_input` for code that awaits."""
    await in_context(_send, run_input, flow_run_id, sender, key_prefix)


def _send(run_input: Any, flow_run_id: UUID | str, sender: str | None, key_prefix: str | None) -> None:
    from orchestrator.storable import json_value

    run = current_flow_run()
    by = sender or (f"flow-run.{run.id}" if run is not None else "")
    body = {"key": _key_of(type(run_input), key_prefix), "value": json_value(run_input), "sender": by}
    with Client() as client:
        try:
            client.post(f"/flow-runs/{flow_run_id}/messages", body)
        except Conflict as error:
            raise NotPaused(str(error)) from None


def _key_of(kind: Any, key_prefix: str | None) -> str:
    name = getattr(kind, "__name__", None) or str(kind)
    return f"{key_prefix}-{name}" if key_prefix else name


def receive_input(
    input_type: type[T] | Any,
    timeout: float | None = HOUR,
    poll_interval: float | None = None,
    raise_timeout_error: bool = False,
    key_prefix: str | None = None,
    flow_run_id: UUID | str | None = None,
    with_metadata: bool = False,
) -> Messages[T]:
    """The messages of a type that this run is sent, one after the other, as they come: to be iterated over.

    What came before is received first. The next attempt of a run begins with the first message again.

    Args:
        timeout: Seconds without a message after which the iteration ends; None for no end.
        poll_interval: Not needed, and without effect: a message comes at once.
        raise_timeout_error: Raise TimedOut instead of ending.
        key_prefix: The mailbox, where there are several of one type.
        flow_run_id: The run whose messages are read; this one by default.
        with_metadata: Wrap plain values, so that they know their sender: `AutomaticRunInput`.

    Raises:
        MissingContext: There is no flow run here.
        NotConfigured: No API is known, so nobody could send it anything.
    """
    run = current_flow_run()
    if run is None:
        raise MissingContext("There is no flow run here that could receive anything.")
    if current_api() is None:
        raise NotConfigured
    receiver = UUID(str(flow_run_id)) if flow_run_id is not None else run.id
    return Messages(run, receiver, input_type, timeout, raise_timeout_error, key_prefix, with_metadata)


class Messages(Generic[T]):
    """What `receive_input` gives: iterate over it, or ask for the next message. Async code awaits."""

    def __init__(
        self,
        run: Any,
        receiver: UUID,
        kind: Any,
        timeout: float | None,
        raises: bool,
        key_prefix: str | None,
        with_metadata: bool,
    ) -> None:
        self._run, self._receiver, self._timeout, self._raises = run, receiver, timeout, raises
        self._is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
        self._key = _key_of(kind, key_prefix)
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self._wrap = with_metadata and not self._is_model
        self._after = 0

    def next(self) -> T:
        """The next message.

        Raises:
            TimedOut: None came in time.
            InputRefused: It is none of the type.
        """
        from orchestrator.engine.pausing import bell_of
        from orchestrator.engine.waiting import wait

        waiter = self._waiter()
        with bell_of(self._run).listening(waiter):
            return self._taken(wait(self._run, waiter, self._timeout))

    async def anext(self) -> T:
        """`next` for code that awaits."""
        from orchestrator.engine.pausing import bell_of
        from orchestrator.engine.waiting import wait_async

        waiter = self._waiter()
        with bell_of(self._run).listening(waiter):
            return self._taken(await wait_async(waiter, self._timeout))

    def _waiter(self) -> Any:
        from orchestrator.engine.doorbell import Waiter

        def look(client: Client) -> Any:
            path = f"/flow-runs/{self._receiver}/messages"
            items = client.get(path, after=self._after, key=self._key, limit=1)["items"]
            return items[0] if items else None

        return Waiter(look)

    def _taken(self, told: dict[str, Any] | None) -> T:
        if told is None:
            raise TimedOut(f"No {self._key} came within {self._timeout:g} seconds.")
        self._after = told["number"]
        try:
            value: Any = self._adapter.validate_python(told["value"])
        except ValidationError as error:
            raise InputRefused(f"{told['sender'] or 'Somebody'} has sent no {self._key}: {error}") from None
        if self._wrap:
            value = AutomaticRunInput[Any](value=value)
        if issubclass(type(value), RunInput):
            value._metadata = RunInputMetadata(told["key"], told["sender"], self._receiver)
        return value

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return self.next()
        except TimedOut:
            if self._raises:
                raise
            raise StopIteration from None

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.anext()
        except TimedOut:
            if self._raises:
                raise
            raise StopAsyncIteration from None


__getattr__ = missing(__name__)
