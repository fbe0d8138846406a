"""Assets, and what was made of what."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orchestrator.cleaned import Made
from orchestrator.ids import uuid7
from orchestrator.testing.memory import paging
from orchestrator.testing.memory.asked import Asked, Refusal
from orchestrator.testing.memory.rows import Asset, Making
from orchestrator.testing.memory.shown import show_asset, show_making
from orchestrator.testing.memory.store import Store


def write(store: Store, made: Made, *, id: UUID, run: UUID, at: int) -> None:
    """What a run tells of an asset: new words replace old ones, no words leave them."""
    for key in [made.key, *made.upstream]:
        store.assets.setdefault(key, Asset(uuid7(), key))
    asset = store.assets[made.key]
    for name in ("name", "description", "url", "owners"):
        setattr(asset, name, getattr(made, name) or getattr(asset, name))
    asset.upstream.update(made.upstream)
    for key in made.upstream:
        store.assets[key].downstream.add(made.key)
    asset.makings.setdefault(id, Making(id, at, run, made))


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """Assets by key."""
    limit, after, text = asked.limit(), asked.query.get("cursor", ""), asked.query.get("key", "").lower()
    keys = sorted(key for key in store.assets if key > after and text in key.lower())
    items = [show_asset(store.assets[key]) for key in keys[:limit]]
    return {"items": items, "next": keys[limit - 1] if len(keys) > limit else None}


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """One, with its neighbours."""
    asset = _find(store, asked.id)
    return {**show_asset(asset), "upstream": sorted(asset.upstream), "downstream": sorted(asset.downstream)}


def makings(store: Store, asked: Asked) -> dict[str, Any]:
    """Its materializations."""
    items, cursor = paging.newest(list(_find(store, asked.id).makings.values()), asked, "at")
    return {"items": [show_making(each) for each in items], "next": cursor}


def _find(store: Store, id: UUID) -> Asset:
    found = next((asset for asset in store.assets.values() if asset.id == id), None)
    if found is None:
        raise Refusal("not_found", "There is no such asset here.")
    return found
