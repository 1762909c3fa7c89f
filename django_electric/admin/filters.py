"""Filters of the list of shapes that are no fields of theirs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_electric.conf import ALIAS, electric_settings
from django_electric.models import Shape
from django_electric.web.presence import clients_by_handle

_YES, _NO = "yes", "no"


class ConditionFilter(admin.SimpleListFilter):
    """Shapes with a condition, and those of whole tables."""

    title = _("where")
    parameter_name = "condition"

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> Iterable[tuple[str, str]]:
        return ((_YES, str(_("some rows"))), (_NO, str(_("all rows"))))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Shape]) -> QuerySet[Shape]:
        if self.value() == _YES:
            return queryset.exclude(where="")
        return queryset.filter(where="") if self.value() == _NO else queryset


class ClientsFilter(admin.SimpleListFilter):
    """Shapes that clients wait for, and those that nobody does."""

    title = _("live clients")
    parameter_name = "clients"

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> Iterable[tuple[str, str]]:
        return ((_YES, str(_("some"))), (_NO, str(_("none"))))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Shape]) -> QuerySet[Shape]:
        if self.value() not in (_YES, _NO):
            return queryset
        handles = list(clients_by_handle(electric_settings(ALIAS).root))
        if self.value() == _YES:
            return queryset.filter(handle__in=handles)
        return queryset.exclude(handle__in=handles)
