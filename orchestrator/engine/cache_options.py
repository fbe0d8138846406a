"""The options of a task that say whether its values are cached: read once, refused where they contradict each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from orchestrator.cache_policies import CacheKeyFnPolicy, CachePolicy, NoCache


def read(
    policy: Any, key_fn: Any, expiration: Any, refresh: Any, persist_result: bool | None, storage_key: str | None
) -> tuple[CachePolicy | None, timedelta | None]:
    """The policy that they mean, None where nothing is cached, and for how long a value is used.

    Raises:
        TypeError: An option is none, or contradicts another one.
    """
    if policy is not None and not isinstance(policy, CachePolicy):
        raise TypeError(f"cache_policy is one of orchestrator.cache_policies, such as INPUTS, not {policy!r}.")
    if key_fn is not None and (policy is not None or not callable(key_fn)):
        raise TypeError("cache_key_fn is a function of (context, parameters), in place of a cache_policy. Give one.")
    if refresh is not None and not isinstance(refresh, bool):
        raise TypeError(f"refresh_cache is True, False or None, not {refresh!r}.")
    after = _seconds(expiration)
    if isinstance(policy, NoCache):
        return None, after
    meant = CacheKeyFnPolicy(cast(Any, key_fn)) if key_fn is not None else policy
    if meant is None:
        if after is not None:
            raise TypeError("cache_expiration needs a cache_policy or a cache_key_fn, which say what is cached.")
        return None, None
    if persist_result is False:
        raise TypeError("What is cached is stored: persist_result=False contradicts it. Leave one of them out.")
    if storage_key is not None:
        raise TypeError("What is cached is stored under its key: result_storage_key contradicts it. Leave one out.")
    return meant, after


def _seconds(given: Any) -> timedelta | None:
    if given is None or isinstance(given, timedelta):
        after = given
    elif isinstance(given, int | float) and not isinstance(given, bool):
        after = timedelta(seconds=given)
    else:
        raise TypeError(f"cache_expiration is a timedelta or seconds, not {given!r}.")
    if after is not None and after <= timedelta(0):
        raise TypeError("cache_expiration is longer than nothing. To cache nothing, say cache_policy=NO_CACHE.")
    return after
