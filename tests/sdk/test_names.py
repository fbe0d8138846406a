"""Names that people bring along: what is here is found, and what is not names its counterpart."""

import importlib

import pytest

from orchestrator import counterparts

ELSEWHERE = [(module, name) for module, names in counterparts.NAMES.items() for name in names]


@pytest.mark.parametrize("module", counterparts.MODULES)
def test_a_module_that_is_not_here_names_its_counterpart(module):
    with pytest.raises(ModuleNotFoundError) as raised:
        importlib.import_module(f"orchestrator.{module}")
    assert counterparts.MODULES[module] in str(raised.value) or "." in module


@pytest.mark.parametrize(("module", "name"), ELSEWHERE, ids=[f"{module}.{name}" for module, name in ELSEWHERE])
def test_a_name_that_is_not_here_names_its_counterpart(module, name):
    whole = f"orchestrator.{module}".rstrip(".")
    with pytest.raises(ImportError) as raised:
        exec(f"from {whole} import {name}", {})
    assert counterparts.NAMES[module][name] in str(raised.value)


def test_nobody_is_told_of_names_that_nobody_knows():
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'orchestrator.nothing'$"):
        importlib.import_module("orchestrator.nothing")
    with pytest.raises(ImportError, match="cannot import name"):
        exec("from orchestrator.states import Nothing", {})
    assert not hasattr(importlib.import_module("orchestrator.flows"), "nothing")


def test_blocks_are_also_where_people_look_for_them():
    from orchestrator import blocks
    from orchestrator.blocks import core, notifications, system, webhook
    from orchestrator.filesystems import LocalFileSystem, RemoteFileSystem

    assert (core.Block, system.Secret, webhook.Webhook) == (blocks.Block, blocks.Secret, blocks.Webhook)
    assert notifications.SlackWebhook is blocks.SlackWebhook
    assert (LocalFileSystem, RemoteFileSystem) == (blocks.LocalFileSystem, blocks.RemoteFileSystem)
