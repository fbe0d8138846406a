"""`manage.py assets` bundles once for the same inputs. Node.js is not started here."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from orchestrator.server.management.commands import assets


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one script, in which running Node.js is only noted."""
    for name in ("package.json", "package-lock.json", "requirements.lock", "bundle.js", "static/js/app.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    monkeypatch.setattr(assets, "PACKAGES", tmp_path / "node_modules")
    monkeypatch.setattr(assets, "BUILT", tmp_path / "static" / "dist")
    monkeypatch.setattr(assets, "COLLECTED", tmp_path / "staticfiles")
    monkeypatch.setattr(assets, "call_command", lambda *_, **__: None)
    return tmp_path


@pytest.fixture
def ran(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Node.js was asked to run."""
    asked: list[str] = []

    def run(*arguments: str, timeout: int | None = None) -> None:
        asked.append(Path(arguments[0]).name)
        (checkout / "static" / "dist").mkdir(exist_ok=True)

    monkeypatch.setattr(assets, "run_node", run)
    return asked


def test_nothing_is_done_twice_for_the_same_inputs(ran: list[str]):
    call_command("assets")
    assert ran == ["npm-cli.js", "bundle.js"]
    call_command("assets")
    assert ran == ["npm-cli.js", "bundle.js"]


def test_a_changed_source_is_bundled_without_asking_npm_again(ran: list[str], checkout: Path):
    call_command("assets")
    (checkout / "static/js/app.js").write_text("changed")
    call_command("assets")
    assert ran == ["npm-cli.js", "bundle.js", "bundle.js"]


def test_a_changed_lock_is_installed_anew(ran: list[str], checkout: Path):
    call_command("assets")
    (checkout / "package-lock.json").write_text("changed")
    call_command("assets")
    assert ran == ["npm-cli.js", "bundle.js"] * 2


def test_what_was_thrown_away_is_made_again(ran: list[str], checkout: Path):
    call_command("assets")
    (checkout / "staticfiles" / ".inputs").unlink()
    call_command("assets")
    assert ran[-1] == "bundle.js"
    assert len(ran) == 3


def test_a_failure_shows_the_last_words_of_the_tool():
    with pytest.raises(CommandError, match="no-such-script"):
        assets.run_node("no-such-script.js")
