"""Shape: a shape that a project declares, by a name, in any app's ``shapes.py``."""

from __future__ import annotations

from django.db.models import Model

from django_electric.policies import ShapePolicy
from django_electric.querysets import Rows, check_queryset, queryset_of


class Shape:
    """Rows of a model, or those of a QuerySet, with the columns that it loads::

        all_issues = Shape(Issue)
        open_issues = Shape(Issue.objects.exclude(status="done").only("title", "status"))

    Who may read which of them the model's policy says, or a *policy* of the shape's own. *public* says that
    everybody may read them all. It is mounted by its *name*: that of the variable, with hyphens, if none
    is given.

    Raises `UnsupportedQuerySet` for what no shape can be.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        policy: type[ShapePolicy] | None = None,
        public: bool = False,
        name: str | None = None,
    ) -> None:
        if public and policy is not None:
            raise ValueError("A public shape has no policy: give one of public and policy.")
        self.queryset = queryset_of(rows)
        check_queryset(self.queryset)
        self.policy = None if policy is None else policy(self.model)
        self.is_public = public
        self.name = name

    @property
    def model(self) -> type[Model]:
        return self.queryset.model

    def __repr__(self) -> str:
        return f"<Shape of {self.model._meta.label}>"
