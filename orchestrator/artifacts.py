"""Artifacts: what a run makes for people to look at. Tables, markdown, links, images, progress.

Making one costs microseconds: it goes into the run's journal as a log line does, and is sent with it, also when the
server is away. Where no API is known it is logged, and nothing else. An artifact with a key has a history: each one
that is made under the key is a version of it.

Nothing here waits, so each function may be called as it is or awaited: `await create_markdown_artifact(…)`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator import clock
from orchestrator.context import require_run
from orchestrator.exceptions import MissingContext, NotFound
from orchestrator.ids import uuid7
from orchestrator.storable import clean_text
from orchestrator.wire import ARTIFACT_KEY, MAX_DESCRIPTION, MAX_MARKDOWN

MAX_ADDRESS = 10_000  # characters of a link
MAX_IMAGE = 512 << 10  # characters: an image may be its own address, data:image/…


class ArtifactId(UUID):
    """The id of an artifact. Awaiting it answers itself, for code that awaits whatever makes an artifact."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, ArtifactId]:
        return self
        yield


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact as the server has it.

    `data` of a table is {"columns": […], "rows": [[…], …]}, of markdown a text, of a link {"link", "text"}, of an image
    {"url"}, of a progress a number from 0 to 100.
    """

    id: UUID
    type: str
    key: str | None
    description: str
    data: Any
    flow_run_id: UUID
    task_run_id: UUID | None
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def get(key: str) -> Any:
        """The newest artifact of a key, or None. In a coroutine it is awaited: `await Artifact.get("report")`.

        Raises:
            NotConfigured: No API is known.
            ApiError: The API refused, or could not be reached.
        """
        from orchestrator.client import in_context

        return in_context(_newest, key)


def create_table_artifact(table: Any, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Make a table for people.

    Args:
        table: A dictionary of columns, a list of dictionaries, a list of lists (the first one names the columns), or a
            data frame. NaN and the like become empty cells. 896 KiB as JSON at most.
        key: Lower case letters, digits and dashes. All artifacts of a key are versions of one.
        description: Markdown, 10,000 characters at most.

    Raises:
        TypeError: It is no table.
        ValueError: It is too large, or the key can't be taken.
        MissingContext: There is no run here.

    >>> from orchestrator import flow
    >>> from orchestrator.artifacts import create_table_artifact
    >>> @flow
    ... def report():
    ...     create_table_artifact({"city": ["Oslo", "Lima"], "degrees": [-3, 19]}, key="weather")
    >>> report()
    """
    from orchestrator.artifact_tables import table_of

    return _make("table", table_of(table), key, description)


def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Make a text in markdown for people: 262,144 characters at most. HTML in it is shown as text.

    Raises:
        ValueError: It is too long, or the key can't be taken.
        MissingContext: There is no run here.
    """
    return _make("markdown", _text("markdown", markdown, MAX_MARKDOWN), key, description)


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> ArtifactId:
    """Make a link for people. Addresses of http, https and mailto can be followed; others are shown as text.

    Raises:
        ValueError: It is too long, or the key can't be taken.
        MissingContext: There is no run here.
    """
    data = {"link": _text("link", link, MAX_ADDRESS), "text": _text("link_text", link_text or "", MAX_ADDRESS)}
    return _make("link", data, key, description)


def create_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Make an image for people, by its address.

    An address `data:image/png;base64,…` (524,288 characters at most) is the image itself and always shown. One of https
    is shown where the server allows images from there, and is a link elsewhere.

    Raises:
        ValueError: It is too long, or the key can't be taken.
        MissingContext: There is no run here.
    """
    return _make("image", {"url": _text("image_url", image_url, MAX_IMAGE)}, key, description)


def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Make a progress bar for people.

    Args:
        progress: Per cent; what is below 0 or above 100 counts as 0 or 100.

    Returns:
        The id that `update_progress_artifact` takes.

    >>> from orchestrator import flow
    >>> from orchestrator.artifacts import create_progress_artifact, update_progress_artifact
    >>> @flow
    ... def copying():
    ...     bar = create_progress_artifact(0, description="Copied")
    ...     for done in range(1, 5):
    ...         update_progress_artifact(bar, 25 * done)
    >>> copying()
    """
    return _make("progress", _percent(progress), key, description)


def update_progress_artifact(artifact_id: UUID, progress: float, description: str | None = None) -> ArtifactId:
    """Tell how far something is now. As often as you like: of many words within a moment the last one is sent.

    Args:
        description: A new one, if it changes.

    Raises:
        MissingContext: There is no run here.
    """
    id = ArtifactId(str(artifact_id))
    _tell(id, "progress", _percent(progress), None, description, is_new=False)
    return id


def _make(type: str, data: Any, key: Any, description: str | None) -> ArtifactId:
    if key is not None and not (isinstance(key, str) and ARTIFACT_KEY.fullmatch(key)):
        raise ValueError(f"{key!r:.220} is no key: lower case letters, digits and dashes, 200 at most.")
    id = ArtifactId(int=uuid7().int)
    _tell(id, type, data, key, description, is_new=True)
    return id


def _tell(id: UUID, type: str, data: Any, key: str | None, description: str | None, *, is_new: bool) -> None:
    try:
        run = require_run()
    except MissingContext:
        raise MissingContext("An artifact belongs to a run. Make it inside a flow or a task.") from None
    if description is not None:
        description = _text("description", description, MAX_DESCRIPTION)
    if run.stream is None:
        if is_new:
            run.log.info("Made an artifact (%s%s). No API is known, so it is nowhere to be seen.", type, _named(key))
        return
    from orchestrator.journal.records import ArtifactTold

    told = ArtifactTold(run, id=UUID(int=id.int), type=type, data=data, key=key, description=description, t=clock.now())
    if is_new:
        run.stream.put(told)
    else:
        run.stream.progressed(told)


def _named(key: str | None) -> str:
    return f" {key!r}" if key else ""


def _text(name: str, text: Any, most: int) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name} is a text, not {type(text).__name__}.")
    if len(text) > most:
        raise ValueError(f"{name} has {len(text):,} characters; {most:,} can be kept.")
    return clean_text(text)


def _percent(progress: Any) -> float:
    number = float(progress)
    if number != number:
        raise ValueError("progress is a number of per cent, not NaN.")
    return min(max(number, 0.0), 100.0)


def _newest(key: str) -> Artifact | None:
    from orchestrator.client import Client

    with Client() as client:
        try:
            [found] = client.get(f"/artifacts/by-key/{key}", limit=1)["items"]
        except NotFound:
            return None
        told = client.get(f"/artifacts/{found['id']}")
    task = told["task_run"]
    return Artifact(
        id=UUID(told["id"]),
        type=told["type"],
        key=told["key"],
        description=told["description"],
        data=told["data"],
        flow_run_id=UUID(told["flow_run"]),
        task_run_id=UUID(task) if task else None,
        created_at=datetime.fromisoformat(told["created_at"]),
        updated_at=datetime.fromisoformat(told["updated_at"]),
    )


def _also_async(fn: Callable[..., ArtifactId]) -> Callable[..., Any]:
    async def awaited(*args: Any, **kwargs: Any) -> ArtifactId:
        return fn(*args, **kwargs)

    awaited.__name__ = awaited.__qualname__ = f"a{fn.__name__}"
    awaited.__doc__ = f"`{fn.__name__}()` for code that awaits."
    return awaited


acreate_table_artifact = _also_async(create_table_artifact)
acreate_markdown_artifact = _also_async(create_markdown_artifact)
acreate_link_artifact = _also_async(create_link_artifact)
acreate_image_artifact = _also_async(create_image_artifact)
acreate_progress_artifact = _also_async(create_progress_artifact)
aupdate_progress_artifact = _also_async(update_progress_artifact)
