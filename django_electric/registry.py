"""The policies and the declared shapes of a project, as the ``shapes.py`` of its apps register them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Final, TypeVar

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.utils.module_loading import autodiscover_modules

from django_electric.declared import Shape
from django_electric.policies import ShapePolicy
from django_electric.querysets import models_of

MODULE: Final = "shapes"
"""The module of an app that declares its shapes and policies."""

PolicyClass = TypeVar("PolicyClass", bound=type[ShapePolicy])


class Registry:
    """What one project has registered."""

    def __init__(self) -> None:
        self.policies: dict[type[Model], ShapePolicy] = {}
        self.shapes: dict[str, Shape] = {}
        self.clashes: list[tuple[str, Shape, Shape]] = []
        """Names that were given to two shapes: the first one has it."""

    def add_policy(self, model: type[Model], policy: type[ShapePolicy]) -> None:
        """Make *policy* that of *model*. Raises ImproperlyConfigured if it has another one."""
        known = self.policies.get(model)
        if known is not None and type(known) is not policy:
            names = f"{type(known).__name__}, so that it cannot have {policy.__name__} too"
            raise ImproperlyConfigured(f"{model._meta.label} has the policy {names}.")
        self.policies[model] = policy(model)

    def add_shape(self, name: str, shape: Shape) -> None:
        """Make *shape* known by *name*."""
        known = self.shapes.setdefault(name, shape)
        if known is not shape:
            self.clashes.append((name, known, shape))

    def add_module(self, module: ModuleType) -> None:
        """Register the shapes that are variables of *module*: ``open_issues`` is ``open-issues``."""
        for variable, value in vars(module).items():
            if isinstance(value, Shape):
                self.add_shape(value.name or variable.replace("_", "-"), value)

    def policy_of(self, model: type[Model]) -> ShapePolicy | None:
        """The policy of *model*; a proxy that has none has that of the model behind it."""
        concrete = model._meta.concrete_model or model
        return self.policies.get(model, self.policies.get(concrete))

    def models(self) -> Iterator[type[Model]]:
        """The models with a policy or a declared shape, and those that such a shape reads in subqueries; those
        behind proxies, each once. What a policy's QuerySets read is known once a user is.
        """
        found = [
            *self.policies,
            *(m for one in self.shapes.values() for m in models_of(one.queryset)),
        ]
        concrete = dict.fromkeys(model._meta.concrete_model or model for model in found)
        return iter(sorted(concrete, key=lambda model: model._meta.label))


registry = Registry()
"""That of the project, filled while Django starts and not changed afterwards."""


def policy(*models: type[Model]) -> Callable[[PolicyClass], PolicyClass]:
    """Make the decorated class the policy of *models*::

    @policy(Issue)
    class IssuePolicy(ShapePolicy): ...
    """

    def decorate(policy_class: PolicyClass) -> PolicyClass:
        for model in models:
            registry.add_policy(model, policy_class)
        return policy_class

    return decorate


def registered_models() -> list[type[Model]]:
    """Models that have a policy or a declared shape, or are read by one, in order of their labels."""
    return list(registry.models())


def discover() -> None:
    """Import the ``shapes.py`` of every app and register what they declare."""
    autodiscover_modules(MODULE)
    for config in apps.get_app_configs():
        module = sys.modules.get(f"{config.name}.{MODULE}")
        if module is not None:
            registry.add_module(module)
