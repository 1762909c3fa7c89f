"""Shapes from the routers of Django Ninja (extra ``ninja``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import NinjaAPI, Router

from django_electric.querysets import Rows
from django_electric.web.project_views import wait_in_thread

RowsOf = Callable[..., Rows]


def shape(
    router: Router | NinjaAPI,
    path: str,
    *,
    columns: Iterable[str] | None = None,
    is_public: bool = False,
    **options: Any,
) -> Callable[[RowsOf], RowsOf]:
    """Mount a shape: the decorated function says which rows whoever asks may read::

        @shape(router, "/projects/{project_id}/issues/shape", auth=django_auth)
        def issues_of_project(request, project_id: int):
            return Issue.objects.filter(project_id=project_id)

    *options* are those of an operation of Ninja, ``auth`` and ``tags`` among them. The function is
    synchronous and may ask the database. Behind `shapes_first` nothing waits in its thread.
    """

    def decorate(rows_of: RowsOf) -> RowsOf:
        named = None if columns is None else list(columns)

        @router.api_operation(["GET", "POST"], path, **options)
        @wraps(rows_of)
        def operation(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            rows = rows_of(request, **arguments)
            return wait_in_thread(request, rows, columns=named, is_public=is_public)

        return rows_of

    return decorate
