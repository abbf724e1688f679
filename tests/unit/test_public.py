"""What the project offers to other code: the names that its public modules export, and types for all of it."""

import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PUBLIC = ["localazure.chaos", "localazure.testing", "saferollout", "saferollout.judge"]
PACKAGES = ["flows", "localazure", "saferollout", "saferollout_cli", "tasks"]


@pytest.mark.parametrize("name", PUBLIC)
def test_exported_names_exist_and_are_documented(name: str) -> None:
    """Each name in `__all__` is there once, and is a class, a function or a module that says what it is for."""
    module = importlib.import_module(name)

    assert module.__doc__
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    for exported in module.__all__:
        found = getattr(module, exported)
        assert inspect.isclass(found) or inspect.isfunction(found) or inspect.ismodule(found), exported
        assert found.__doc__, exported


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_public_module_defines_is_exported(name: str) -> None:
    """A class or function of the module is in `__all__`, or its name begins with an underscore."""
    module = importlib.import_module(name)

    defined = {
        key
        for key, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == name and key[0] != "_"
    }
    assert defined <= set(module.__all__)


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_are_typed(name: str) -> None:
    """A type checker reads the annotations of an installed package only where `py.typed` says so."""
    assert (ROOT / name / "py.typed").is_file()
    assert (ROOT / name / "__init__.py").is_file()
