"""Sandbox: shapes for the time of one test, without the project's worker, files and replication slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import QuerySet

from django_electric.conf import ALIAS, electric_settings
from django_electric.declared import Shape
from django_electric.errors import ConfigurationError
from django_electric.test.capture import Capture
from django_electric.test.client import AsyncElectricClient, ClientShape, ElectricClient
from django_electric.test.comparison import difference, rows_of
from django_electric.test.following import ShapeRefused
from django_electric.test.lending import lent_to_coroutines
from django_electric.test.service import NearThreads, StandInService
from django_electric.test.slot import SlotStream
from django_electric.test.source import Source
from django_electric.web.service import standing_in

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

Target = ClientShape | Shape | str | Mapping[str, object]
"""A shape that a client follows, a declared one, a URL, or the parameters of the table-named endpoint."""


class Sandbox:
    """What a test can do with shapes; made by `sandbox`."""

    def __init__(self, alias: str, source: Source) -> None:
        self.alias = alias
        self.service = StandInService(electric_settings(alias), NearThreads(alias), source)

    def client(
        self, user: AbstractBaseUser | None = None, *, headers: Mapping[str, str] | None = None
    ) -> ElectricClient:
        """A client, logged in as *user*; *headers* go with every request."""
        return ElectricClient(user, headers=headers)

    def async_client(
        self, user: AbstractBaseUser | None = None, *, headers: Mapping[str, str] | None = None
    ) -> AsyncElectricClient:
        """A client for a test that is a coroutine."""
        return AsyncElectricClient(user, headers=headers)

    def must_refetch(self, shape: ClientShape) -> None:
        """Rotate the shape, as a change of its table does: its clients hear must-refetch when they ask next."""
        self.service.worker.rotate([shape.handle])

    def assert_shape_equals(
        self, target: Target, queryset: QuerySet[Any], *, user: AbstractBaseUser | None = None
    ) -> ClientShape:
        """Fail unless the shape has the rows of *queryset*, each value as Postgres's text; the shape.

        The columns that count are the shape's. Raises ShapeRefused, an AssertionError, if it is refused.
        """
        shape = self._followed(target, user)
        wrong = difference(shape.rows, rows_of(queryset, shape.schema))
        if wrong:
            raise AssertionError(f"the shape and the queryset differ:\n{wrong}")
        return shape

    def assert_shape_refused(
        self,
        target: Target,
        *,
        user: AbstractBaseUser | None = None,
        status: int | None = None,
    ) -> ShapeRefused:
        """Fail unless the answer is an error from 400 to 499, or just *status*; what was answered."""
        try:
            shape = self._followed(target, user)
        except ShapeRefused as refused:
            if refused.status == status or (status is None and 400 <= refused.status < 500):
                return refused
            raise
        raise AssertionError(f"the shape was served, with {len(shape.rows)} rows: {shape!r}")

    def _followed(self, target: Target, user: AbstractBaseUser | None) -> ClientShape:
        """*target* as a shape that is up to date."""
        if isinstance(target, ClientShape):
            target.sync()
            return target
        client = self.client(user)
        return client.shape(**target) if isinstance(target, Mapping) else client.shape(target)


@contextmanager
def sandbox(alias: str = ALIAS) -> Iterator[Sandbox]:
    """Answer shape requests of this process from the database *alias* as the test sees it, inside.

    In the transaction of a ``TestCase`` its writes are captured; in a test that commits they are read
    from a temporary replication slot. Raises ImproperlyConfigured if *alias* has no ``ELECTRIC`` settings,
    and ConfigurationError if its database is not PostgreSQL, or if a slot is needed and ``wal_level`` is not
    ``logical``.
    """
    with ExitStack() as stack:
        connection = connections[alias]
        if connection.vendor != "postgresql":
            raise ConfigurationError(
                f'The database "{alias}" is {connection.vendor}: shapes need PostgreSQL.'
            )
        if connection.in_atomic_block:
            stack.enter_context(lent_to_coroutines(connection))
            source: Source = Capture(alias)
        else:
            source = SlotStream(electric_settings(alias))
        stack.callback(source.close)
        box = Sandbox(alias, source)
        stack.enter_context(standing_in(box.service))
        yield box
