"""Assets: what flows make and use, wherever it lies, and what was made of what.

A task that makes an asset is decorated with `@materialize` in place of `@task`. When it completes, the materialization
is told, with what it was made of: the assets of the tasks whose results it was given, and those that it names by
`asset_deps`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar
from uuid import UUID

from orchestrator import clock
from orchestrator.cleaned import MAX_ASSET_KEY
from orchestrator.context import current_task_run
from orchestrator.exceptions import MissingContext
from orchestrator.ids import uuid7
from orchestrator.states import REUSED
from orchestrator.storable import clean_text, json_value
from orchestrator.tasks import Task
from orchestrator.wire import MAX_LABELS, MAX_PAYLOAD, encode

if TYPE_CHECKING:
    from orchestrator.engine.task_run import TaskRun

__all__ = ["Asset", "AssetProperties", "MaterializingTask", "add_asset_metadata", "materialize"]

MAX_TEXT = 5_000  # characters of a description
MAX_ASSETS = 50  # of one task
_URI = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\x00-\x1f]+", re.IGNORECASE)
P = ParamSpec("P")
R = TypeVar("R", covariant=True)


@dataclass(frozen=True, slots=True)
class AssetProperties:
    """What people want to know of an asset.

    Attributes:
        owners: Addresses or names of those who answer for it.
        url: Where it can be looked at.
    """

    name: str | None = None
    description: str | None = None
    owners: list[str] | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        for name, most in (("name", 200), ("description", MAX_TEXT), ("url", 2_000)):
            text = getattr(self, name)
            if text is not None and not (isinstance(text, str) and len(text) <= most):
                raise ValueError(f"{name} is a text of {most:,} characters at most.")
        if len(self.owners or []) > 50 or any(len(str(owner)) > 254 for owner in self.owners or []):
            raise ValueError("owners are 50 at most, of 254 characters each.")


@dataclass(frozen=True, slots=True)
class Asset:
    """Something that flows make or use, named by a URI: `s3://bucket/flights.parquet`, `postgres://db/table`.

    >>> Asset("s3://lake/flights.parquet").key
    's3://lake/flights.parquet'
    """

    key: str
    properties: AssetProperties | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not _URI.fullmatch(str(self.key)) or len(self.key) > MAX_ASSET_KEY:
            raise ValueError(
                f"{self.key!r:.120} is no key of an asset. A URI is: s3://bucket/key, {MAX_ASSET_KEY} characters."
            )

    def __str__(self) -> str:
        return self.key

    def add_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Say more about what is being made: rows, sizes, versions. Inside the task that makes it.

        Raises:
            MissingContext: This is no such task.
            ValueError: The task makes another asset, or it is more than 32 KiB as JSON.
        """
        add_asset_metadata(self, metadata)


_metadata: dict[UUID, dict[str, dict[str, Any]]] = {}
"""What was added in task runs under way, by asset."""


def add_asset_metadata(asset: str | Asset, metadata: Mapping[str, Any]) -> None:
    """Say more about an asset that the task around this code makes. Said again, it is added to what was said.

    Raises:
        MissingContext: There is no task here that makes an asset.
        ValueError: The task makes another asset, or it is more than 32 KiB as JSON.
    """
    run, key = current_task_run(), str(asset)
    task = run.definition if run is not None else None
    if run is None or not isinstance(task, MaterializingTask):
        raise MissingContext("Metadata belong to the making of an asset. Add them inside a task with @materialize.")
    if key not in {each.key for each in task.assets}:
        raise ValueError(f"{task.name} does not make {key}. It makes {', '.join(map(str, task.assets))}.")
    known = _metadata.setdefault(run.id, {})
    added = {**known.get(key, {}), **json_value(dict(metadata))}
    if (size := len(encode(added))) > MAX_PAYLOAD // 2:
        raise ValueError(f"The metadata of {key} have {size:,} bytes as JSON; {MAX_PAYLOAD // 2:,} can be kept.")
    known[key] = added


def metadata_to_take(run: TaskRun) -> dict[str, dict[str, Any]]:
    """What was added here in a task run whose life is in another process, for that process."""
    return _metadata.pop(run.id, {})


def take_metadata(run: TaskRun, told: dict[str, dict[str, Any]]) -> None:
    """Add what was added in another process."""
    known = _metadata.setdefault(run.id, {})
    for key, added in told.items():
        known[key] = {**known.get(key, {}), **added}


class MaterializingTask(Task[P, R], Generic[P, R]):
    """A task that makes assets. Made by `@materialize`."""

    makes_assets = True

    def __init__(
        self, fn: Callable[P, R], *, assets: Iterable[str | Asset], materialized_by: str | None = None, **options: Any
    ) -> None:
        super().__init__(fn, **options)
        self.assets = tuple(_as_asset(each) for each in assets)
        self.materialized_by = materialized_by
        if not 0 < len(self.assets) <= MAX_ASSETS:
            raise ValueError(f"@materialize names 1 to {MAX_ASSETS} assets.")

    def _copied_with(self, options: dict[str, Any]) -> Self:
        own = {"assets": self.assets, "materialized_by": self.materialized_by}
        return super()._copied_with({**own, **options})


def materialize(
    *assets: str | Asset, by: str | None = None, **options: Any
) -> Callable[[Callable[P, R]], MaterializingTask[P, R]]:
    """Make a function a task that makes assets.

    Args:
        assets: What it makes, by key or as `Asset`.
        by: What makes it, where that is no task: `dbt`, for example.
        options: Those of `@task`; `asset_deps` are the assets that it uses, besides those of the tasks before.

    >>> from orchestrator import flow
    >>> from orchestrator.assets import Asset, materialize
    >>> flights = Asset("s3://lake/flights.parquet")
    >>> @materialize(flights, asset_deps=["postgres://airline/flights"])
    ... def load() -> int:
    ...     flights.add_metadata({"rows": 336_776})
    ...     return 336_776
    >>> @flow
    ... def nightly() -> int:
    ...     return load()
    >>> nightly()
    336776
    """
    if assets and callable(assets[0]) and not isinstance(assets[0], Asset):
        raise TypeError("@materialize names what is made: @materialize('s3://bucket/key').")
    return lambda fn: MaterializingTask(fn, assets=assets, materialized_by=by, **options)


def keys_of(assets: Iterable[str | Asset] | None) -> tuple[str, ...]:
    """The keys of assets, checked."""
    if isinstance(assets, str | Asset):
        raise TypeError(f"asset_deps is a list of assets, not one. Write asset_deps=[{str(assets)!r}].")
    return tuple(_as_asset(each).key for each in assets or ())


def _as_asset(asset: str | Asset) -> Asset:
    return asset if isinstance(asset, Asset) else Asset(asset)


# What the engine calls at the end of a task run, where there is anything to tell.


def note(run: TaskRun) -> None:
    """Remember which assets the result of a task is made of, and tell what it has made."""
    known = run.flow_run.lineage.assets
    used = dict.fromkeys(run.definition.asset_deps)
    for parent in run.parents:
        used.update(dict.fromkeys(known.get(parent, ())))
    task = run.definition
    if not isinstance(task, MaterializingTask):
        if used:
            known[run.id] = tuple(used)
        return
    known[run.id] = tuple(asset.key for asset in task.assets)
    metadata = _metadata.pop(run.id, {})
    if run.state_type is None or run.stream is None or run.state_name in REUSED:
        return  # What is only looked up was made, and told of, before.
    for asset in task.assets:
        upstream = [key for key in used if key != asset.key]
        _tell(run, task, asset, upstream, metadata.get(asset.key, {}))


def _tell(
    run: TaskRun, task: MaterializingTask[..., Any], asset: Asset, upstream: list[str], metadata: dict[str, Any]
) -> None:
    from orchestrator.journal.records import EventTold
    from orchestrator.states import StateType

    assert run.stream is not None
    properties = asset.properties or AssetProperties()
    owners = [clean_text(str(owner)) for owner in properties.owners or []]
    about = {"description": properties.description, "url": properties.url, "owners": owners or None}
    payload = {
        "task_run": str(run.id),
        "metadata": metadata,
        "by": task.materialized_by,
        **{name: value for name, value in about.items() if value is not None},
    }
    run.stream.put(
        EventTold(
            run,
            id=uuid7(),
            event="asset.materialized" if run.state_type is StateType.COMPLETED else "asset.failed",
            resource={"id": asset.key, **({"name": properties.name} if properties.name else {})},
            related=[{"id": key, "role": "upstream"} for key in upstream[:MAX_LABELS]],
            payload=json_value({name: value for name, value in payload.items() if value is not None}),
            t=clock.now(),
        )
    )
