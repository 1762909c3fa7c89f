"""ElectricTestMixin: shapes in test cases of Django's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from django.db.models import QuerySet
from django.test import SimpleTestCase, TransactionTestCase

from django_electric.conf import ALIAS
from django_electric.errors import ConfigurationError
from django_electric.test.client import ClientShape
from django_electric.test.following import ShapeRefused
from django_electric.test.sandboxes import Sandbox, Target, sandbox

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    _Base: TypeAlias = SimpleTestCase
else:
    _Base = object


class ElectricTestMixin(_Base):
    """For a ``TestCase``, whose writes are captured, or a ``TransactionTestCase``, whose commits are read
    from a temporary replication slot; such a test is skipped where ``wal_level`` is not ``logical``."""

    electric_database = ALIAS
    """The alias of the database whose shapes are served."""

    electric: Sandbox

    def setUp(self) -> None:
        super().setUp()
        try:
            self.electric = self.enterContext(sandbox(self.electric_database))
        except ConfigurationError as error:
            self.skipTest(str(error))

    def assertShapeEquals(
        self, target: Target, queryset: QuerySet[Any], *, user: AbstractBaseUser | None = None
    ) -> ClientShape:
        """See `Sandbox.assert_shape_equals`."""
        return self.electric.assert_shape_equals(target, queryset, user=user)

    def assertShapeRefused(
        self, target: Target, *, user: AbstractBaseUser | None = None, status: int | None = None
    ) -> ShapeRefused:
        """See `Sandbox.assert_shape_refused`."""
        return self.electric.assert_shape_refused(target, user=user, status=status)


class ElectricTransactionTestCase(ElectricTestMixin, TransactionTestCase):
    """A test that commits, and sees what the replication stream brings."""
