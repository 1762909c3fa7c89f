"""Shapes in the tests of a host project: docs/how-to/testing.md.

Nothing is imported until it is asked for: pytest loads this package in every project that has it installed,
whether it uses Django or not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from django_electric.test.cases import ElectricTestMixin, ElectricTransactionTestCase
    from django_electric.test.client import (
        AsyncClientShape,
        AsyncElectricClient,
        ClientShape,
        ElectricClient,
    )
    from django_electric.test.following import ShapeRefused
    from django_electric.test.sandboxes import Sandbox, sandbox

__all__ = [
    "AsyncClientShape",
    "AsyncElectricClient",
    "ClientShape",
    "ElectricClient",
    "ElectricTestMixin",
    "ElectricTransactionTestCase",
    "Sandbox",
    "ShapeRefused",
    "sandbox",
]

_MODULES: Final = {
    "cases": ("ElectricTestMixin", "ElectricTransactionTestCase"),
    "client": ("AsyncClientShape", "AsyncElectricClient", "ClientShape", "ElectricClient"),
    "following": ("ShapeRefused",),
    "sandboxes": ("Sandbox", "sandbox"),
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
