"""What Postgres said of where clauses that are not understood here, remembered for a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Final

from django.db import DatabaseError, connections, transaction
from django.db.utils import InterfaceError, OperationalError

from django_electric.analysis import analyse
from django_electric.catalogue import find_relation
from django_electric.postgres.relation import Relation
from django_electric.protocol.conditions import FoundTable
from django_electric.protocol.identifiers import TableName
from django_electric.where import Analysis, WhereError

REMEMBERED: Final = 1_024
REMEMBERED_SECONDS: Final = 60.0
"""How long an answer is good: a function may be replaced."""

PATIENCE: Final = 2
"""Seconds that Postgres may look at a clause: what is constant in it is evaluated then."""

_TIME_LIMIT: Final = f"SET LOCAL statement_timeout = '{PATIENCE}s'"
_LIMITS: Final = ("54000", "54001", "54011", "54023")
"""Program limit exceeded, statement too complex, too many columns, too many arguments. For the driver
these are failures of the server, as a lost connection is."""

_Key = tuple[Relation, str, tuple[tuple[int, str], ...]]
_Answer = Analysis | WhereError | None


class Clauses:
    """The answers of one process."""

    def __init__(self, alias: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._alias = alias
        self._clock = clock
        self._answers: OrderedDict[_Key, tuple[_Answer, float]] = OrderedDict()
        self._lock = Lock()

    def find(self, table: TableName) -> FoundTable | None:
        """The table of that name, if there is one. Raises DatabaseError."""
        with connections[self._alias].cursor() as cursor:
            relation = find_relation(cursor, table.schema, table.name)
        return None if relation is None else FoundTable(relation, partial(self.analyse, relation))

    def analyse(self, relation: Relation, text: str, params: Mapping[int, str]) -> Analysis | None:
        """See `analysis.analyse`; None if Postgres refuses the clause. Raises WhereError and DatabaseError."""
        key = (relation, text, tuple(sorted(params.items())))
        with self._lock:
            answer, until = self._answers.get(key, (None, 0.0))
        if until <= self._clock():
            answer = self._ask(relation, text, params)
            self._remember(key, answer)
        if isinstance(answer, WhereError):
            raise answer
        return answer

    def _ask(self, relation: Relation, text: str, params: Mapping[int, str]) -> _Answer:
        try:
            with transaction.atomic(using=self._alias):
                with connections[self._alias].cursor() as cursor:
                    cursor.execute(_TIME_LIMIT)
                    answer = analyse(cursor, relation, text, params)
                transaction.set_rollback(True, using=self._alias)
        except WhereError as error:
            return error
        except DatabaseError as error:
            return _refusal(error)
        return answer

    def _remember(self, key: _Key, answer: _Answer) -> None:
        with self._lock:
            self._answers[key] = answer, self._clock() + REMEMBERED_SECONDS
            self._answers.move_to_end(key)
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)


def _refusal(error: DatabaseError) -> WhereError | None:
    """None if it is the clause that Postgres refuses, and not our way of asking.

    Raises *error* if it is not Postgres that speaks.
    """
    state = getattr(error.__cause__, "sqlstate", None)
    if state == "57014":
        return WhereError(f"Postgres takes more than {PATIENCE} s to look at it")
    if state == "42501":
        return WhereError(
            "only Postgres could evaluate it, and the database role may not ask: GRANT TEMPORARY ON DATABASE"
        )
    if state == "25006":
        return WhereError("only Postgres could evaluate it, and this connection is read-only")
    if isinstance(error, OperationalError | InterfaceError) and state not in _LIMITS:
        raise error
    return None
