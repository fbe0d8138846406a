"""`orchestrator profile`, `config`, `completion`: what the machine knows, and where it knows it from."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from click.testing import CliRunner

from orchestrator import config
from orchestrator.cli.root import cli
from orchestrator.config import Api
from orchestrator.exceptions import NotConfigured


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """A home of its own, and nothing in the environment."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    for name in ("API_URL", "API_KEY", "PROFILE", *config.SETTINGS):
        monkeypatch.delenv(f"ORCHESTRATOR_{name}", raising=False)


@pytest.fixture
def command():
    def run(*arguments, **options):
        return CliRunner().invoke(cli, list(arguments), **options)

    return run


@pytest.fixture
def two():
    """Two profiles; `work` is active."""
    config.save_profile("home", Api("http://home/api/v1", "key-of-home-1"), {"organization": "me", "workspace": "own"})
    config.save_profile("work", Api("http://work/api/v1", "key-of-work-1"), {"organization": "acme", "workspace": "a"})


def told(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_profiles_are_listed_chosen_renamed_and_deleted(command, two):
    listed = told(command("profile", "ls", "-o", "json"))
    assert [(each["name"], each["active"], each["workspace"]) for each in listed] == [
        ("home", False, "me/own"),
        ("work", True, "acme/a"),
    ]
    assert "key-of" not in command("profile", "ls").output
    assert command("profile", "use", "home").exit_code == 0
    assert config.current_api() == Api("http://home/api/v1", "key-of-home-1")
    assert told(command("profile", "inspect", "work", "-o", "json"))["api_key"] == "key-of-w…"
    assert command("profile", "rename", "home", "den").exit_code == 0
    assert config.active_profile_name() == "den"
    assert command("profile", "delete", "den", input="n\n").exit_code == 1
    assert command("profile", "delete", "den", "-y").exit_code == 0
    assert config.current_api() is None
    assert list(config.profiles()) == ["work"]
    assert config.profiles_path().stat().st_mode & 0o777 == 0o600


def test_the_environment_names_another_profile(command, two, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_PROFILE", "home")
    assert [each["active"] for each in told(command("profile", "ls", "-o", "json"))] == [True, False]
    monkeypatch.setenv("ORCHESTRATOR_PROFILE", "none")
    assert isinstance(command("profile", "ls").exception, NotConfigured)


@pytest.mark.parametrize(
    "arguments",
    [
        ("use", "none"),
        ("inspect", "none"),
        ("rename", "none", "x"),
        ("rename", "home", "work"),
        ("delete", "none", "-y"),
    ],
)
def test_what_profiles_refuse(command, two, arguments):
    assert isinstance(command("profile", *arguments).exception, NotConfigured)
    assert list(config.profiles()) == ["home", "work"]


def test_settings_are_kept_in_the_profile_and_the_environment_goes_before(command, two, monkeypatch):
    assert command("config", "set", "results_persist", "true").exit_code == 0
    assert config.is_on("RESULTS_PERSIST")
    monkeypatch.setenv("ORCHESTRATOR_LOGGING_LEVEL", "DEBUG")
    assert told(command("config", "-o", "json"))["settings"] == {
        "LOGGING_LEVEL": {"value": "DEBUG", "from": "environment"},
        "RESULTS_PERSIST": {"value": "true", "from": "profile"},
    }
    assert "RESULTS_PERSIST = true (profile)" in command("config", "view").output
    config.save_profile("work", Api("http://work/api/v1", "another key"), {})
    assert config.is_on("RESULTS_PERSIST"), "a new log-in keeps the settings"
    command("config", "unset", "RESULTS_PERSIST")
    assert not config.is_on("RESULTS_PERSIST")


def test_what_settings_refuse(command):
    assert command("config", "set", "colour", "red").exit_code == 2
    assert isinstance(command("config", "set", "logging_level", "DEBUG").exception, NotConfigured)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(command, shell):
    result = command("completion", shell)
    assert result.exit_code == 0
    assert "_ORCHESTRATOR_COMPLETE" in result.output


def test_bash_takes_it(command):
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n"], input=command("completion", "bash").output, text=True, check=True, timeout=30)
