"""``manage.py electric_shapes``: list, show, delete, rotate and explain shapes."""

from __future__ import annotations

import json
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from django.core.management.base import CommandError
from django.db.models import Q, QuerySet

from django_electric.conf import ElectricSettings
from django_electric.errors import ShapeGone
from django_electric.management.command import ElectricCommand
from django_electric.models import Shape, ShapeQuerySet
from django_electric.protocol.params import InvalidRequest
from django_electric.shapes.explanation import Explanation
from django_electric.storage import FileStorage
from django_electric.upkeep.explaining import explain_request
from django_electric.upkeep.log import LogBook, LogEntry
from django_electric.upkeep.shapes import facts_of, summary

_LIST = "{handle:<28} {status:<10} {first_rows:>9} {bytes:>12} {clients:>7}  {table}{where}"
_VERBS = "list|show|delete|rotate|explain"


class Command(ElectricCommand):
    """Exit codes: 0 done, 1 there is no such shape or it is refused, 2 wrong arguments."""

    help = (
        "Look at shapes, delete them, give them new handles. `explain` says how the worker finds the rows of one: by an "
        "index, by evaluation, or by Postgres."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        verbs = parser.add_subparsers(dest="verb", required=True, metavar=_VERBS)
        _add_looking(verbs)
        _add_doing(verbs, "delete", "delete shapes: their clients sync anew")
        _add_doing(verbs, "rotate", "give shapes new handles at once: their clients sync anew")
        _add_explaining(verbs)

    def run(self, given: Namespace, settings: ElectricSettings) -> int:
        verbs: dict[str, Callable[[Namespace, ElectricSettings], None]] = {
            "list": self._list,
            "show": self._show,
            "delete": self._delete,
            "rotate": self._rotate,
            "explain": self._explain,
        }
        verbs[given.verb](given, settings)
        return 0

    # -- looking -----------------------------------------------------------------------------------

    def _list(self, given: Namespace, settings: ElectricSettings) -> None:
        shapes = list(_of_table(_shapes(settings), given.table).order_by("id"))
        facts = facts_of(shapes, settings)
        found = [summary(shape, facts[shape.handle]) for shape in shapes]
        self.say(given, found, "\n".join(_lines(found)))

    def _show(self, given: Namespace, settings: ElectricSettings) -> None:
        shape = _one(settings, given.handle)
        facts = facts_of([shape], settings)[shape.handle]
        entries = list(_last_entries(settings, shape.handle, given.entries))
        known = summary(shape, facts)
        explanation = facts.explanation.to_json() if facts.explanation else None
        value = {**known, "explanation": explanation, "entries": [e.message for e in entries]}
        lines = [f"{name + ':':<12} {_said(value)}" for name, value in known.items()]
        lines += [f"{'found how:':<12} {facts.explanation}"] if facts.explanation else []
        lines += [json.dumps(entry.message, ensure_ascii=False) for entry in entries]
        self.say(given, value, "\n".join(lines))

    # -- doing -------------------------------------------------------------------------------------

    def _delete(self, given: Namespace, settings: ElectricSettings) -> None:
        handles = [shape.handle for shape in _chosen(given, settings)]
        _shapes(settings).filter(handle__in=handles).delete()
        self.say(given, {"deleted": handles}, f"{len(handles)} shapes deleted")

    def _rotate(self, given: Namespace, settings: ElectricSettings) -> None:
        rotated = {shape.handle: shape.rotate().handle for shape in _chosen(given, settings)}
        lines = [f"{old} is now {new}" for old, new in rotated.items()]
        self.say(given, {"rotated": rotated}, "\n".join(lines or ["0 shapes rotated"]))

    # -- explaining --------------------------------------------------------------------------------

    def _explain(self, given: Namespace, settings: ElectricSettings) -> None:
        if bool(given.handle) == bool(given.table):
            raise CommandError("say a handle, or --table and perhaps --where", returncode=2)
        try:
            found = self._found(given, settings)
        except InvalidRequest as error:
            if given.json:
                self.stdout.write(json.dumps({"refused": error.errors}))
            raise CommandError("refused: " + _refusal(error)) from error
        self.say(given, found.to_json(), str(found))

    @staticmethod
    def _found(given: Namespace, settings: ElectricSettings) -> Explanation:
        if given.handle:
            return _one(settings, given.handle).explain()
        return explain_request(settings.alias, given.table, given.where, _params(given.param))


# --- Arguments ------------------------------------------------------------------------------------

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Verbs = _SubParsersAction[ArgumentParser]


def _add_looking(verbs: Verbs) -> None:
    verb = verbs.add_parser("list", help="the shapes that there are")
    _add_common(verb)
    verb = verbs.add_parser("show", help="all that is known of a shape")
    verb.add_argument("handle")
    verb.add_argument(
        "--entries", type=int, default=0, metavar="N", help="and the last N of its log"
    )
    _add_common(verb, has_table=False)


def _add_doing(verbs: Verbs, name: str, text: str) -> None:
    verb = verbs.add_parser(name, help=text)
    verb.add_argument("handles", nargs="*", metavar="HANDLE")
    verb.add_argument("--all", action="store_true", help="all of them")
    _add_common(verb)


def _add_explaining(verbs: Verbs) -> None:
    verb = verbs.add_parser("explain", help="how the worker finds the rows of a shape")
    verb.add_argument("handle", nargs="?", help="of a shape that exists")
    verb.add_argument("--where", help="as in a request")
    verb.add_argument(
        "--param", action="append", default=[], metavar="N=VALUE", help="the value of $N"
    )
    _add_common(verb)


def _add_common(verb: ArgumentParser, *, has_table: bool = True) -> None:
    if has_table:
        verb.add_argument(
            "--table",
            help="as in a request, items or schema.items: on it, or with subqueries that read it",
        )
    # After the verb as before it; a default would undo what was said before.
    verb.add_argument("--json", action="store_true", default=SUPPRESS, help="for programs")


# --- Which shapes ---------------------------------------------------------------------------------


def _shapes(settings: ElectricSettings) -> ShapeQuerySet:
    return Shape.objects.using(settings.alias).filter(stream_id=settings.replication_stream_id)


def _of_table(shapes: ShapeQuerySet, table: str | None) -> QuerySet[Shape]:
    """Those on a table, and those with subqueries that read it."""
    if not table:
        return shapes
    schema, _, name = table.rpartition(".")
    named = (schema or "public", name)
    readers = [s.pk for s in shapes.with_subqueries() if named in s.tables.values()]
    return shapes.filter(Q(schema_name=named[0], table_name=named[1]) | Q(pk__in=readers))


def _one(settings: ElectricSettings, handle: str) -> Shape:
    shape = _shapes(settings).filter(handle=handle).first()
    if shape is None:
        raise CommandError(f"no shape has the handle {handle}: `list` shows those there are")
    return shape


def _chosen(given: Namespace, settings: ElectricSettings) -> list[Shape]:
    """Exactly one of handles, ``--table`` and ``--all``."""
    if sum(map(bool, (given.handles, given.table, given.all))) != 1:
        raise CommandError("say handles, or --table, or --all", returncode=2)
    if given.handles:
        return [_one(settings, handle) for handle in given.handles]
    return list(_of_table(_shapes(settings), given.table))


# --- Words ----------------------------------------------------------------------------------------


def _lines(found: list[dict[str, object]]) -> Iterator[str]:
    names = ("handle", "status", "first_rows", "bytes", "clients", "table")
    yield _LIST.format(**{name: name.replace("_", " ") for name in names}, where="")
    for one in found:
        where = f" where {one['where']}" if one["where"] else ""
        yield _LIST.format(**{name: _said(one[name]) for name in names}, where=where)


def _said(value: object) -> str:
    return "–" if value is None else str(value)


def _last_entries(settings: ElectricSettings, handle: str, count: int) -> Iterator[LogEntry]:
    if count <= 0:
        return
    try:
        reader = FileStorage(settings.root).reader(handle)
    except ShapeGone:
        return
    try:
        book = LogBook(reader)
        yield from book.page_before(book.end, count).entries
    finally:
        reader.close()


def _params(given: list[str]) -> Iterator[tuple[str, str]]:
    for pair in given:
        number, equals, value = pair.partition("=")
        if not equals:
            raise CommandError(f"--param {pair}: must be N=VALUE, such as 1=todo", returncode=2)
        yield number.removeprefix("$"), value


def _refusal(error: InvalidRequest) -> str:
    """``where: At location 5: …``"""
    return "; ".join(
        f"{field}: {', '.join(map(str, texts)) if isinstance(texts, list) else texts}"
        for field, texts in error.errors.items()
    )
