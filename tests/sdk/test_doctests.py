"""The examples in docstrings are run."""

import doctest
import importlib
import pkgutil

import pytest

import orchestrator

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator.")
    if not module.name.startswith("orchestrator.server") and not module.name.endswith(("__main__", ".execute"))
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_say_the_truth(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
