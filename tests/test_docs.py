"""The reference names every setting, command and route."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from django.urls import get_resolver

from docs import cli, names, reference

ROOT = Path(__file__).parent.parent
SERVER = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def settings() -> set[str]:
    """Names that the server reads from its environment."""
    sources = [*(ROOT / "orchestrator" / "server").glob("*.py")]
    reads = re.compile(r"""(?:env|environment)\.(?:text|boolean|number|words|hosts)\(\s*"([A-Z_]+)\"""")
    return {name for path in sources for name in reads.findall(path.read_text(encoding="utf-8"))}


def commands() -> list[str]:
    folder = ROOT / "orchestrator" / "server" / "management" / "commands"
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def api_routes() -> list[str]:
    prefix = "api/v1/"
    found = []

    def walk(patterns: list, path: str) -> None:
        for pattern in patterns:
            whole = path + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns, whole)
            elif whole.startswith(prefix) and pattern.name != "api-no-such-address":
                found.append(re.sub(r"<\w+:(\w+)>", r"<\1>", whole.removeprefix(prefix)))

    walk(get_resolver().url_patterns, "")
    return sorted(found)


def test_settings_are_found() -> None:
    assert {"SECRET_KEY", "LEASE_SECONDS", "PAGE_THREADS"} <= settings()


@pytest.mark.parametrize("name", sorted(settings()))
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in SERVER


@pytest.mark.parametrize("name", commands())
def test_every_command_has_a_heading(name: str) -> None:
    assert re.search(rf"^### `manage\.py {name}\b", SERVER, re.MULTILINE)


def test_every_route_is_documented() -> None:
    shown = set(re.findall(r"`([a-z…][^`]*)`", API))
    shown |= {f"deployments/<id>{tail.removeprefix('…')}" for tail in shown if tail.startswith("…")}
    assert [route for route in api_routes() if route not in shown] == []


STORING = ("caching.md",)  # guides whose programs store values


def blocks() -> list[tuple[str, str]]:
    """The Python blocks of the guides, named by their file and line."""
    found = []
    guides = (
        "artifacts",
        "assets",
        "blocks",
        "caching",
        "events",
        "hooks",
        "limits",
        "logging",
        "pausing",
        "pool-types",
        "results",
        "resume",
        "runners",
        "schedules",
        "sdk",
        "states",
        "testing",
        "transactions",
        "triggering",
        "tutorial",
    )
    for name in (f"{guide}.md" for guide in guides):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
            found.append((f"{name}:{text[: match.start()].count(chr(10)) + 1}", match[1]))
    return found


@pytest.mark.parametrize(("place", "source"), blocks(), ids=[place for place, _ in blocks()])
def test_every_block_runs(place: str, source: str, tmp_path: Path) -> None:
    """As a file of its own, in a process without configuration."""
    script = tmp_path / "block.py"
    script.write_text(source, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    environment |= {"ORCHESTRATOR_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if not place.startswith(STORING):
        assert list(tmp_path.iterdir()) == [script]  # Nothing was written.


@pytest.mark.parametrize("module", [cli, names, reference], ids=["cli", "names", "reference"])
def test_what_is_written_from_the_code_is_what_the_code_says(module: ModuleType) -> None:
    assert module.TABLE.read_text(encoding="utf-8") == module.text(), "Run `make docs`."


def test_every_module_of_the_sdk_that_people_import_is_in_the_reference() -> None:
    told = {name.removeprefix("orchestrator.") for name in reference.MODULES}
    here = {module.partition(".")[0] for module, known in names.KNOWN.items() if known}
    assert here - {""} <= {name.partition(".")[0] for name in told} | {"automations", "filesystems"}
