"""All values of the vocabulary are frozen, without a dictionary, and built by name."""

import importlib
import pkgutil
from dataclasses import fields, is_dataclass

import pytest

import memhp.core

MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(memhp.core.__path__, "memhp.core.")
]
VALUES = [
    value
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
]


def test_the_vocabulary_is_found() -> None:
    assert {"PhysRange", "MemoryBlock", "Plan", "Srat"} <= {value.__name__ for value in VALUES}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_a_value_is_frozen_and_built_by_name(value: type) -> None:
    assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(value)
    assert "__dict__" not in dir(value)
    assert all(field.kw_only for field in fields(value))
