"""Shapes with subqueries: whatever is written, and whenever the rows of a move are read, a client ends up with
what the query gives.

A database of dictionaries commits random transactions. The stream brings them later; a move is read somewhere
between what the stream has brought and what is committed, and comes into the log once the stream has
passed that. A client applies the log as PROTOCOL section 12.3 tells it to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_electric.postgres.pgoutput import Begin, Commit, Delete, Insert, Row, Update
from django_electric.postgres.xid import PgSnapshot
from django_electric.protocol.conditions import FoundTable
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import ShapeParams
from django_electric.protocol.resolve import resolve
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.moves import MovingShape
from django_electric.shapes.moving import MoveAnswer, MoveRequest, Moving, PartWithParts
from django_electric.shapes.router import Router
from django_electric.shapes.tags import RowPlan
from django_electric.shapes.transactions import TransactionBuilder
from django_electric.where.plan import Plain, Plan
from tests.shapes.world import described, table

CHILD = table({"id": "int4", "p": "int4", "q": "int4", "n": "int4"}, oid=1, name="child")
PARENT = table({"id": "int4", "v": "int4", "yes": "bool"}, oid=2, name="parent")
RELATIONS = {"child": CHILD, "parent": PARENT}
Truth = bool | None


def is_in(value: tuple[str | None, ...], rows: list[tuple[str | None, ...]]) -> Truth:
    """Postgres's ``value IN (rows)``."""
    answers: list[Truth] = []
    for row in rows:
        pairs = list(zip(value, row, strict=True))
        if any(a is not None and b is not None and a != b for a, b in pairs):
            answers.append(False)
        else:
            answers.append(None if any(a is None or b is None for a, b in pairs) else True)
    if True in answers:
        return True
    return None if None in answers else False


def negation(truth: Truth) -> Truth:
    return None if truth is None else not truth


def more_than(text: str | None, number: int) -> Truth:
    return None if text is None else int(text) > number


Tables = dict[str, dict[str, Row]]


def yes(db: Tables) -> list[Row]:
    return [row for row in db["parent"].values() if row[2] == "t"]


def _nested(db: Tables, row: Row) -> Truth:
    ids: list[Row] = [(r[0],) for r in db["child"].values() if more_than(r[3], 1)]
    return is_in((row[1],), [(r[0],) for r in db["parent"].values() if is_in((r[1],), ids)])


def _nested_out(db: Tables, row: Row) -> Truth:
    chosen: list[Row] = [(r[0],) for r in yes(db)]
    inner = [(r[0],) for r in db["parent"].values() if negation(is_in((r[1],), chosen))]
    return is_in((row[1],), inner)


CASES: dict[str, Callable[[Tables, Row], Truth]] = {
    "p IN (SELECT v FROM parent WHERE yes)": lambda db, r: is_in((r[1],), [(x[1],) for x in yes(db)]),
    "p NOT IN (SELECT v FROM parent WHERE yes)": lambda db, r: negation(
        is_in((r[1],), [(x[1],) for x in yes(db)])
    ),
    "p NOT IN (SELECT id FROM parent WHERE yes)": lambda db, r: negation(
        is_in((r[1],), [(x[0],) for x in yes(db)])
    ),
    "p IN (SELECT id FROM parent WHERE yes) AND n > 1": lambda db, r: (
        is_in((r[1],), [(x[0],) for x in yes(db)]) is True and more_than(r[3], 1) is True
    ),
    "p IN (SELECT id FROM parent WHERE yes) OR n > 1": lambda db, r: (
        is_in((r[1],), [(x[0],) for x in yes(db)]) is True or more_than(r[3], 1) is True
    ),
    "NOT (p IN (SELECT id FROM parent WHERE yes) AND n > 1)": lambda db, r: (
        is_in((r[1],), [(x[0],) for x in yes(db)]) is False or more_than(r[3], 1) is False
    ),
    "p IN (SELECT id FROM parent WHERE yes) OR q IN (SELECT id FROM parent WHERE yes)": lambda db, r: (
        True in [is_in((r[at],), [(x[0],) for x in yes(db)]) for at in (1, 2)]
    ),
    "p NOT IN (SELECT id FROM parent WHERE yes) AND q IN (SELECT v FROM parent)": lambda db, r: (
        is_in((r[1],), [(x[0],) for x in yes(db)]) is False
        and is_in((r[2],), [(x[1],) for x in db["parent"].values()]) is True
    ),
    "(p, q) IN (SELECT id, v FROM parent)": lambda db, r: is_in(
        (r[1], r[2]), [(x[0], x[1]) for x in db["parent"].values()]
    ),
    "(p, q) NOT IN (SELECT v, id FROM parent WHERE yes)": lambda db, r: negation(
        is_in((r[1], r[2]), [(x[1], x[0]) for x in yes(db)])
    ),
    "(p, q) NOT IN (SELECT id, id FROM parent WHERE yes)": lambda db, r: negation(
        is_in((r[1], r[2]), [(x[0], x[0]) for x in yes(db)])
    ),
    "(p IN (SELECT v FROM parent WHERE yes)) IS NOT TRUE": lambda db, r: (
        is_in((r[1],), [(x[1],) for x in yes(db)]) is not True
    ),
    "(p IN (SELECT id FROM parent WHERE yes)) IS NOT FALSE": lambda db, r: (
        is_in((r[1],), [(x[0],) for x in yes(db)]) is not False
    ),
    "p NOT IN (SELECT v FROM parent WHERE yes) OR n > 1": lambda db, r: (
        is_in((r[1],), [(x[1],) for x in yes(db)]) is False or more_than(r[3], 1) is True
    ),
    "p NOT IN (SELECT v FROM parent) AND q IN (SELECT v FROM parent WHERE yes)": lambda db, r: (
        is_in((r[1],), [(x[1],) for x in db["parent"].values()]) is False
        and is_in((r[2],), [(x[1],) for x in yes(db)]) is True
    ),
    "(p IN (SELECT v FROM parent)) IS NOT FALSE AND n > 0": lambda db, r: (
        is_in((r[1],), [(x[1],) for x in db["parent"].values()]) is not False
        and more_than(r[3], 0) is True
    ),
    "id NOT IN (SELECT p FROM child WHERE n > 1)": lambda db, r: negation(
        is_in((r[0],), [(x[1],) for x in db["child"].values() if more_than(x[3], 1)])
    ),
    "p IN (SELECT id FROM parent WHERE v IN (SELECT id FROM child WHERE n > 1))": _nested,
    "p IN (SELECT id FROM parent WHERE v NOT IN (SELECT id FROM parent WHERE yes))": _nested_out,
}  # fmt: skip


def define(where: str) -> ShapeDefinition:
    def find(name: TableName) -> FoundTable:
        return FoundTable(RELATIONS[name.name])

    return resolve(ShapeParams(TableName("public", "child"), where=where), CHILD, find=find)


class Client:
    """Applies a log."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[dict[str, Any], list[str], list[bool]]] = {}
        self.last_tx = 0

    def append(self, tx: int, ops: Any, entries: list[bytes]) -> None:
        assert tx > self.last_tx, "a log does not go back"
        assert list(ops) == sorted(set(ops))
        self.last_tx = tx
        for entry in entries:
            assert entry.startswith(b",{")
            assert entry.endswith(b"}\n")
            self.apply(json.loads(entry[1:]))

    def spill(self, *_: Any) -> None:
        raise AssertionError("nothing here is that large")

    def discard(self) -> None:
        pass

    def apply(self, message: dict[str, Any]) -> None:
        headers = message["headers"]
        if "event" in headers:
            self._move(headers["event"] == "move-in", headers["patterns"])
            return
        if "control" in headers:
            return
        key, operation = message["key"], headers["operation"]
        tags, active = headers["tags"], headers["active_conditions"]
        assert tags, "every row has tags"
        if operation == "insert":
            assert key not in self.rows, message
            self.rows[key] = (message["value"], tags, active)
        elif operation == "update":
            value, before, _ = self.rows[key]
            assert set(headers["removed_tags"]) == set(before) - set(tags)
            self.rows[key] = (value | message["value"], tags, active)
        else:
            assert set(self.rows.pop(key)[1]) <= set(tags)

    def _move(self, becomes: bool, patterns: list[dict[str, Any]]) -> None:
        assert patterns
        for key, (value, tags, active) in list(self.rows.items()):
            now = list(active)
            for pattern in patterns:
                if any(tag.split("/")[pattern["pos"]] == pattern["value"] for tag in tags):
                    now[pattern["pos"]] = becomes
            holds = any(
                all(now[at] for at, slot in enumerate(tag.split("/")) if slot) for tag in tags
            )
            if holds:
                self.rows[key] = (value, tags, now)
            else:
                del self.rows[key]


@dataclass
class Transaction:
    xid: int
    messages: list[Any]


@dataclass
class World:
    """The database, the stream and the worker's part of it."""

    where: str
    committed: list[Transaction] = field(default_factory=list)
    states: list[Tables] = field(default_factory=lambda: [{"child": {}, "parent": {}}])
    """After so many transactions."""
    streamed: int = 0
    reads: list[tuple[MoveRequest, int, MoveAnswer]] = field(default_factory=list)
    rotated: str = ""

    def __post_init__(self) -> None:
        self.router = Router()
        self.builder = TransactionBuilder(self.router)
        self.definition = define(self.where)
        self.client = Client()

    # -- the database

    def commit(self, changes: list[tuple[str, str, Row | None]]) -> None:
        state = {name: dict(rows) for name, rows in self.states[-1].items()}
        messages: list[Any] = []
        for name, key, new in changes:
            rows, oid = state[name], RELATIONS[name].oid
            old = rows.pop(key, None)
            if new is not None:
                if new[0] != key and new[0] in rows:
                    new = (key, *new[1:])
                rows[str(new[0])] = new
            if old is None and new is not None:
                messages.append(Insert(oid, new))
            elif old is not None:
                messages.append(Delete(oid, old) if new is None else Update(oid, old, new))
        self.committed.append(Transaction(len(self.committed) + 1, messages))
        self.states.append(state)

    def matching(self, state: Tables) -> set[str]:
        truth = CASES[self.where]
        return {key for key, row in state["child"].items() if truth(state, row) is True}

    # -- the worker

    def start(self, behind: int, during: list[Any]) -> None:
        """The shape is made when the stream has brought *behind* transactions fewer than are committed; *during*
        is committed while its first rows are read.
        """
        while self.streamed < len(self.committed) - behind:
            self.stream_one()
        at = len(self.committed)
        state = self.states[at]
        shape = self.shape = MovingShape("h", self.definition, self.client)
        told = self.tellings(shape, state)
        plan = self.row_plan(shape)
        for key in self.matching(state):
            self.client.apply(self.row_message(shape, plan, state["child"][key], told))
        self.builder.catch_up(shape)
        self.router.add(shape)
        for changes in during:
            self.commit(changes)
            if self.streamed < len(self.committed):
                self.stream_one()
        members = {part.handle: self.members(part.definition, state) for part in shape.all_parts()}
        reason = self.builder.begin(shape, PgSnapshot(at + 1, at + 1), members)
        assert not reason
        self.do_outcome()

    def tellings(self, shape: Moving, state: Tables) -> list[Any]:
        told = [part.members.empty_copy() for part in shape.parts]
        for one, part in zip(told, shape.parts, strict=True):
            one.replace(self.members(part.definition, state))
        return told

    def members(self, definition: ShapeDefinition, state: Tables) -> list[tuple[Row, int]]:
        """What a subquery gives, by Postgres's rules."""
        return [(value, 1) for value in self.selected(definition, state)]

    def selected(self, definition: ShapeDefinition, state: Tables) -> Iterator[Row]:
        relation = RELATIONS[definition.table]
        at = {c.name: i for i, c in enumerate(relation.columns)}
        for row in state[definition.table].values():
            if self.holds(definition, state, row):
                yield tuple(row[at[name]] for name in definition.columns)

    def holds(self, definition: ShapeDefinition, state: Tables, row: Row) -> bool:
        relation = RELATIONS[definition.table]
        at = {c.name: i for i, c in enumerate(relation.columns)}
        plan = definition.plan()
        if plan is None:
            where = definition.parsed_where()
            return where is None or where.compile(at)(row) is True
        told = [[*self.selected(one, state)] for one in definition.dependencies]
        return self.by_plan(plan, definition, told, row)

    def by_plan(
        self, plan: Plan, definition: ShapeDefinition, given: list[list[Row]], row: Row
    ) -> bool:
        at = {c.name: i for i, c in enumerate(RELATIONS[definition.table].columns)}
        for literals in plan.alternatives:
            truths = []
            for one in literals:
                if isinstance(one, Plain):
                    truths.append(one.where.compile(at)(row) is True)
                    continue
                inside = is_in(tuple(row[at[c]] for c in one.columns), given[one.dependency])
                truths.append(
                    {
                        "in": inside is True,
                        "not in": inside is False,
                        "not true": inside is not True,
                        "not false": inside is not False,
                    }[one.membership]
                )
            if all(truths):
                return True
        return False

    def row_plan(self, shape: Moving) -> RowPlan:
        relation = RELATIONS[shape.definition.table]
        return RowPlan(
            shape.plan, shape.definition, {c.name: i for i, c in enumerate(relation.columns)}
        )

    def row_message(
        self, shape: Moving, plan: RowPlan, row: Row, told: list[Any]
    ) -> dict[str, Any]:
        return {
            "key": f'"public"."child"/"{row[0]}"',
            "value": dict(zip(("id", "p", "q", "n"), row, strict=True)),
            "headers": {
                "operation": "insert",
                "tags": plan.tags(row, shape.handle),
                "active_conditions": plan.active(row, told),
            },
        }

    def stream_one(self) -> None:
        number = self.streamed
        transaction = self.committed[number]
        tx = (number + 1) * 100
        if number == 0:
            for relation in RELATIONS.values():
                self.builder.handle(described(relation))
        self.builder.handle(Begin(tx, transaction.xid))
        for message in transaction.messages:
            self.builder.handle(message)
        self.builder.handle(Commit(tx, tx + 40))
        self.streamed += 1
        self.do_outcome()

    def do_outcome(self) -> None:
        outcome = self.builder.take_outcome()
        if outcome is None:
            return
        if outcome.rotations:
            self.rotated = outcome.rotations[0].reason
        for request in outcome.moves:
            self.requests.append(request)

    requests: list[MoveRequest] = field(default_factory=list)

    def read(self) -> None:
        """Postgres answers the oldest request, from what is committed by now."""
        if not self.requests:
            return
        request = self.requests.pop(0)
        at = len(self.committed)
        state, shape = self.states[at], request.shape
        assert shape._move is not None
        before = list(shape.told)
        rows: list[bytes] = []
        found: list[list[tuple[Row, int]]] = []
        given_before = [list(told) for told in before]
        shape._tell(shape._move.turns)
        given_after = [list(told) for told in shape.told]
        plan = self.row_plan(shape)
        table_rows = state[shape.definition.table].values()
        if isinstance(shape, MovingShape):
            for row in table_rows:
                if self.by_plan(
                    shape.plan, shape.definition, given_after, row
                ) and not self.by_plan(shape.plan, shape.definition, given_before, row):
                    message = self.row_message(shape, plan, row, shape.told)
                    rows.append(b"," + json.dumps(message).encode() + b"\n")
            for _, literal in shape._move.asked:
                found.append(self.counted(shape, literal.columns, given_before, state))
        else:
            found.append(self.counted(shape, shape.definition.columns, given_after, state))
        assert len(request.selects) == len(found)
        shape._untell(shape._move.turns)
        self.reads.append((request, at, MoveAnswer(rows, found)))

    def counted(
        self, shape: Moving, columns: Sequence[str], given: list[list[Row]], state: Tables
    ) -> list[tuple[Row, int]]:
        """The values of *columns* in the rows that match if the subqueries give what is *given*."""
        places = {c.name: i for i, c in enumerate(RELATIONS[shape.definition.table].columns)}
        return [
            (tuple(row[places[name]] for name in columns), 1)
            for row in state[shape.definition.table].values()
            if self.by_plan(shape.plan, shape.definition, given, row)
        ]

    def arrive(self) -> None:
        """The stream passes what the oldest read has seen."""
        if not self.reads:
            return
        request, at, answer = self.reads.pop(0)
        while self.streamed < at:
            self.stream_one()
            if self.rotated:
                return
        snapshot = PgSnapshot(at + 1, at + 1)
        shape = self.shape
        if isinstance(request.shape, MovingShape):
            end = b',{"headers":{"control":"snapshot-end"}}\n'
            found = shape.moved(snapshot, answer, end, self.builder.position)
            self.builder.take_moves(shape, *found)
        else:
            assert isinstance(request.shape, PartWithParts)
            assert not request.shape.moved(snapshot, answer)
            self.builder.settle_moves(shape)
        self.do_outcome()

    def drain(self) -> None:
        while not self.rotated and (
            self.streamed < len(self.committed) or self.requests or self.reads
        ):
            if self.streamed < len(self.committed):
                self.stream_one()
            self.read()
            self.arrive()


ids = st.integers(1, 4).map(str)
maybe = st.none() | st.integers(1, 4).map(str)
children = st.tuples(
    st.just("child"),
    ids,
    st.none() | st.tuples(ids, maybe, maybe, st.none() | st.sampled_from("012")),
)
parents = st.tuples(
    st.just("parent"), ids, st.none() | st.tuples(ids, maybe, st.sampled_from("ttf"))
)
transactions = st.lists(children | parents, min_size=1, max_size=4)
steps = st.one_of(
    transactions.map(lambda t: ("commit", t)),
    st.just(("stream", None)),
    st.just(("read", None)),
    st.just(("arrive", None)),
)


programmes = {
    "first": st.lists(transactions, max_size=4),
    "behind": st.integers(0, 2),
    "during": st.lists(transactions, max_size=2),
    "programme": st.lists(steps, max_size=25),
}
PROGRAMMES = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@pytest.mark.parametrize("where", CASES)
@settings(PROGRAMMES, max_examples=40)
@given(**programmes)
def test_a_client_ends_up_with_what_the_query_gives(where: str, **programme: Any) -> None:
    check(where, **programme)


@pytest.mark.soak
@pytest.mark.parametrize("where", CASES)
@settings(PROGRAMMES, max_examples=3000)
@given(**programmes)
def test_a_client_ends_up_with_what_the_query_gives_for_long(where: str, **programme: Any) -> None:
    check(where, **programme)


def test_a_value_that_goes_while_a_null_stays_excludes_as_before() -> None:
    """Found by the programmes above."""
    nulls: list[Any] = [("parent", "1", ("1", None, "t")), ("parent", "2", ("2", "1", "t"))]
    gone: list[Any] = [("child", "1", ("1", None, None, "1")), ("parent", "2", None)]
    check(
        "(p IN (SELECT v FROM parent)) IS NOT FALSE AND n > 0",
        first=[],
        behind=0,
        during=[],
        programme=[("commit", nulls), ("commit", gone)],
    )


def check(
    where: str,
    *,
    first: list[Any],
    behind: int,
    during: list[Any],
    programme: list[tuple[str, Any]],
) -> None:
    world = World(where)
    for changes in first:
        world.commit(changes)
    world.start(min(behind, len(first)), during)
    for step, changes in programme:
        if world.rotated:
            break
        if step == "commit":
            world.commit(changes)
        elif step == "stream":
            if world.streamed < len(world.committed):
                world.stream_one()
        elif step == "read":
            world.read()
        else:
            world.arrive()
    world.drain()
    assert not world.rotated
    state = world.states[-1]
    have = {value["id"]: tuple(value.values()) for value, _, _ in world.client.rows.values()}
    assert have == {key: state["child"][key] for key in world.matching(state)}
    assert world.builder.complete_tx == world.builder.processed_tx
