"""Which API this process talks to: from the environment, or from the profile that `orchestrator login` wrote.

| setting | meaning |
|---|---|
| ORCHESTRATOR_API_URL | where the API is: `https://…/api/v1` |
| ORCHESTRATOR_API_KEY | the key to it |
| ORCHESTRATOR_HOME | where profiles, journals and bundles are kept; `~/.orchestrator` by default |
| ORCHESTRATOR_PROFILE | the profile to use; the one that was logged in to last by default |
| ORCHESTRATOR_EXIT_SECONDS | how long a process waits at its end for the server to receive the journal; 10 |
| ORCHESTRATOR_JOURNAL_BYTES | how large the journal file of one execution may grow; 1 GiB |
| ORCHESTRATOR_RESULTS_PERSIST | whether values are stored where no decorator says so; false |
| ORCHESTRATOR_RESULTS_STORAGE | where: a directory, an address, `type/name` of a block; by default `results` in HOME |
| ORCHESTRATOR_REFRESH_CACHE | whether tasks compute what is cached anew where nothing else says so; false |
| ORCHESTRATOR_RESULTS_SERIALIZER | by what: `pickle`, `json`, `compressed/pickle`, `compressed/json`; `pickle` |
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from orchestrator.exceptions import NotConfigured


class Api(NamedTuple):
    """Where the API is, and who asks."""

    url: str
    key: str


SETTINGS = frozenset({
    "EXIT_SECONDS", "JOURNAL_BYTES", "RESULTS_PERSIST", "RESULTS_STORAGE", "RESULTS_SERIALIZER", "REFRESH_CACHE",
    "LOGGING_LEVEL", "LOGGING_EXTRA_LOGGERS",
})  # fmt: skip
"""What a profile may hold beside the API: see the table above, and `orchestrator.logging`."""

_override: Api | None = None
_withheld: list[bool] | None = None
_profiles: tuple[tuple[str, int], dict[str, dict[str, str]]] | None = None


def home() -> Path:
    """The directory of profiles, journals and bundles."""
    return Path(os.environ.get("ORCHESTRATOR_HOME") or os.path.expanduser("~/.orchestrator"))


def current_api() -> Api | None:
    """The API of this process, or None: then flows are plain functions."""
    if _override is not None:
        return _override
    if _withheld is not None:
        _withheld.append(True)
        return None
    url, key = os.environ.get("ORCHESTRATOR_API_URL"), os.environ.get("ORCHESTRATOR_API_KEY")
    if url and key:
        return Api(url.rstrip("/"), key)
    profile = _active_profile()
    if profile is None or not (profile.get("api_url") and profile.get("api_key")):
        return None
    return Api((url or profile["api_url"]).rstrip("/"), key or profile["api_key"])


def setting(name: str, default: str = "") -> str:
    """A setting of the SDK: from the environment, as ORCHESTRATOR_NAME, else from the active profile, as `name`."""
    told = setting_and_source(name)
    return default if told is None else told[0]


def setting_and_source(name: str) -> tuple[str, str] | None:
    """A setting, and where it comes from: `environment` or `profile`; None where it isn't set."""
    told = os.environ.get(f"ORCHESTRATOR_{name}")
    if told is not None:
        return told, "environment"
    try:
        kept = (_active_profile() or {}).get(name.lower())
    except NotConfigured:
        return None
    return None if kept is None else (str(kept), "profile")


def is_on(name: str) -> bool:
    """Whether a setting of the SDK says yes."""
    return setting(name).strip().lower() in ("1", "true", "yes", "on")


def workspace_of(api: Api) -> str | None:
    """The organization and workspace of a key, `acme/main`, if its profile says it."""
    for profile in profiles().values():
        if profile.get("api_key") == api.key and profile.get("organization") and profile.get("workspace"):
            return f"{profile['organization']}/{profile['workspace']}"
    return None


def require_api() -> Api:
    """The API of this process.

    Raises:
        NotConfigured: None is known.
    """
    api = current_api()
    if api is None:
        raise NotConfigured
    return api


def use_api(api: Api | None) -> Api | None:
    """Talk to this API whatever the environment says. For processes of an agent, whose token comes by a pipe.

    Returns the one that was used so before.
    """
    global _override
    before, _override = _override, api
    return before


@contextmanager
def withheld() -> Generator[list[bool]]:
    """Know no API, whatever the environment says: nobody's run is being executed. The list isn't empty once one is
    asked for."""
    global _withheld
    _withheld = asked = []
    try:
        yield asked
    finally:
        _withheld = None


# Profiles.


def profiles_path() -> Path:
    """The file of profiles."""
    return home() / "profiles.toml"


def profiles() -> dict[str, dict[str, str]]:
    """All profiles by name. The one marked `active` counts."""
    global _profiles
    path = profiles_path()
    try:
        stamp = (str(path), path.stat().st_mtime_ns)
    except OSError:
        return {}
    if _profiles is None or _profiles[0] != stamp:
        import tomllib

        try:
            read = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise NotConfigured(
                f"{path} can't be read ({error}). Mend it, or run `orchestrator login` again."
            ) from None
        _profiles = (stamp, {name: value for name, value in read.items() if isinstance(value, dict)})
    return _profiles[1]


def active_profile_name() -> str | None:
    """The profile that counts: the one that ORCHESTRATOR_PROFILE names, else the one marked active.

    Raises:
        NotConfigured: The environment names one that isn't there.
    """
    wanted = os.environ.get("ORCHESTRATOR_PROFILE")
    if wanted:
        find_profile(wanted)
        return wanted
    return next((name for name, profile in profiles().items() if profile.get("active")), None)


def _active_profile() -> dict[str, str] | None:
    name = active_profile_name()
    return None if name is None else profiles()[name]


def find_profile(name: str) -> dict[str, str]:
    """The profile of this name.

    Raises:
        NotConfigured: There is none; it says which there are.
    """
    known = profiles()
    if name not in known:
        raise NotConfigured(f"There is no profile {name!r}. There are: {', '.join(known) or 'none'}.")
    return known[name]


def save_profile(name: str, api: Api, facts: dict[str, str]) -> Path:
    """Write a profile that only this user can read, and make it the active one. Its settings stay."""
    own = {key: value for key, value in profiles().get(name, {}).items() if key.upper() in SETTINGS}
    return _write_profiles({**profiles(), name: {**own, **facts, "api_url": api.url, "api_key": api.key}}, active=name)


def change_profile(key: str, value: str | None) -> None:
    """Set a key of the profile that counts, or take it out.

    Raises:
        NotConfigured: None is active.
    """
    name = active_profile_name()
    if name is None:
        raise NotConfigured("There is no active profile. Run `orchestrator login`, or set an environment variable.")
    own = {each: kept for each, kept in profiles()[name].items() if each != key}
    _write_profiles({**profiles(), name: own if value is None else {**own, key: value}})


def use_profile(name: str) -> None:
    """Make a profile the active one."""
    find_profile(name)
    _write_profiles(profiles(), active=name)


def rename_profile(name: str, new: str) -> None:
    """Give a profile another name.

    Raises:
        NotConfigured: There is no such profile, or one of the new name is there.
    """
    find_profile(name)
    if new in profiles() or not new.strip():
        raise NotConfigured(f"A profile can't be called {new!r}: the name is taken, or empty.")
    _write_profiles({new if each == name else each: told for each, told in profiles().items()})


def delete_profile(name: str) -> None:
    """Forget a profile, and the key in it."""
    find_profile(name)
    _write_profiles({each: told for each, told in profiles().items() if each != name})


def _write_profiles(known: dict[str, dict[str, str]], active: str | None = None) -> Path:
    """Write all profiles at once; `active`: the one that becomes so, instead of the one that is."""
    if active is not None:
        known = {name: {key: value for key, value in told.items() if key != "active"} for name, told in known.items()}
        known[active]["active"] = "yes"
    path = profiles_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(_toml(known))
    os.replace(fresh, path)
    return path


def _toml(profiles: dict[str, dict[str, str]]) -> str:
    import json

    # A JSON string is a TOML basic string.
    tables = []
    for name, profile in profiles.items():
        lines = [f"{json.dumps(key)} = {json.dumps(str(value))}" for key, value in profile.items()]
        tables.append("\n".join([f"[{json.dumps(name)}]", *lines]))
    return "\n\n".join(tables) + "\n"
