"""A change and a shape's view of its table → the messages that the client will read (PROTOCOL section 4).

A `View` is what shapes with the same table, columns, key and replica mode share: functions, generated
once for a row layout, that turn rows into the text of a message. A message is made without its end,
since only the commit tells which entry of a transaction is the shape's last: `ENTRY_END` or
`LAST_ENTRY_END` completes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from json.encoder import encode_basestring as encode_string
from typing import Final, NamedTuple

from django_electric.postgres.pgoutput import Row
from django_electric.shapes.definition import ShapeDefinition

ENTRY_END: Final = b"}}\n"
LAST_ENTRY_END: Final = b',"last":true}}\n'

_BARE_TYPES: Final = frozenset(
    [
        "int2",
        "int4",
        "int8",
        "oid",
        "float4",
        "float8",
        "numeric",
        "uuid",
        "date",
        "timestamp",
        "timestamptz",
        "time",
        "timetz",
        "interval",
        "macaddr",
        "macaddr8",
        "bit",
        "varbit",
        "xid",
        "xid8",
    ]
)
"""Types whose text never needs escaping, neither in JSON nor in a key."""
_BOOL: Final = {"t": '"true"', "f": '"false"', None: "null", "true": '"true"', "false": '"false"'}

ValueWriter = Callable[[str | None], str]


Item = tuple[int, bytes]
"""One message to append: its place in the transaction (op) and its text. A bare tuple: one is made for every change."""


def _escaped(value: str | None) -> str:
    return "null" if value is None else encode_string(value)


def _bare(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'


def _boolean(value: str | None) -> str:
    return _BOOL[value]


def value_writer(type_name: str) -> ValueWriter:
    """Value text → JSON. Booleans are spelt as in the snapshot, so that keys agree (section 4.8)."""
    if type_name == "bool":
        return _boolean
    return _bare if type_name in _BARE_TYPES else _escaped


def _key_writer(type_name: str) -> Callable[[str | None], str]:
    """Value text → its part of the key inside a JSON string: ``/`` doubled (section 4.7)."""
    write = value_writer(type_name)

    def part(value: str | None) -> str:
        return "/_" if value is None else f'/\\"{write(value.replace("/", "//"))[1:-1]}\\"'

    return part


def relation_key(schema: str, table: str) -> str:
    """The key's part that names the table: ``"public"."items"``, one rule for snapshot and log.

    Inside the names ``"`` is doubled, as in SQL.
    """
    return ".".join('"' + name.replace('"', '""') + '"' for name in (schema, table))


class View:
    """How shapes of one kind see the rows of one layout."""

    __slots__ = (
        "__weakref__", "delete_value", "full", "insert", "key", "key_at", "relation", "selected", "update_is_visible", "writers",
    )  # fmt: skip

    def __init__(self, definition: ShapeDefinition, layout: tuple[str, ...]) -> None:
        at = {name: i for i, name in enumerate(layout)}
        types = {c.name: c.type_name for c in definition.relation_columns}
        chosen = set(definition.columns)
        self.full = definition.replica == "full"
        names = (encode_string(definition.schema), encode_string(definition.table))
        self.relation = f'"relation":[{names[0]},{names[1]}]'
        self.selected = [
            (at[n], f"{encode_string(n)}:", value_writer(types[n])) for n in layout if n in chosen
        ]
        self.key_at = tuple(at[n] for n in definition.key_columns)
        prefix = encode_string(relation_key(definition.schema, definition.table))[1:-1]
        self.key = _key_function(prefix, [(at[n], types[n]) for n in definition.key_columns])
        self.insert = _row_function(self.selected)
        keys = [s for s in self.selected if s[0] in self.key_at]
        self.delete_value = self.insert if self.full else _row_function(keys)
        self.update_is_visible = _difference_function(
            sorted({*self.key_at, *(s[0] for s in self.selected)})
        )

    def inserted(self, headers: Headers, op: int, new: Row) -> list[Item]:
        """See `insert_items`."""
        return insert_items(self, headers, op, new)

    def deleted(self, headers: Headers, op: int, old: Row) -> list[Item]:
        """See `delete_items`."""
        return delete_items(self, headers, op, old)

    def updated(self, headers: Headers, op: int, old: Row, new: Row) -> list[Item]:
        """See `update_items`."""
        return update_items(self, headers, op, old, new)

    def update_value(self, old: Row, new: Row) -> str:
        """``"value":{…}`` of an update, with ``old_value`` for ``replica=full`` (section 4.3)."""
        if self.full:
            before = [name + write(old[i]) for i, name, write in self.selected if old[i] != new[i]]
            return f'{self.insert(new)},"old_value":{{{",".join(before)}}}'
        keys = self.key_at
        parts = [
            name + write(new[i])
            for i, name, write in self.selected
            if old[i] != new[i] or i in keys
        ]
        return f'"value":{{{",".join(parts)}}}'


_Selected = tuple[int, str, ValueWriter]


def _row_function(columns: Sequence[_Selected]) -> Callable[[Row], str]:
    """Row → ``"value":{…}`` with all *columns*; generated, because it runs for every change."""
    space: dict[str, object] = {"bare": _bare, "boolean": _BOOL}
    parts = []
    for n, (i, name, write) in enumerate(columns):
        space[f"n{n}"] = name
        space[f"w{n}"] = write
        value = f"boolean[r[{i}]]" if write is _boolean else f"w{n}(r[{i}])"
        parts.append(f"{{n{n}}}{{{value}}}")
    source = 'lambda r: f\'"value":{{' + ",".join(parts) + "}}'"
    return eval(compile(source, "<row>", "eval"), space)  # type: ignore[no-any-return]  # noqa: S307  # text made above


def _key_function(prefix: str, columns: Sequence[tuple[int, str]]) -> Callable[[Row], str]:
    """Row → the key's text inside a JSON string."""
    if len(columns) == 1 and columns[0][1] in _BARE_TYPES:
        only = columns[0][0]
        return lambda row: f'{prefix}/\\"{row[only]}\\"' if row[only] is not None else prefix + "/_"
    writers = [(i, _key_writer(type_name)) for i, type_name in columns]
    return lambda row: prefix + "".join(write(row[i]) for i, write in writers)


def _difference_function(positions: Sequence[int]) -> Callable[[Row, Row], bool]:
    """(old, new) → whether any of the columns has another text."""
    source = " or ".join(f"a[{i}] != b[{i}]" for i in positions) or "False"
    return eval(compile(f"lambda a, b: {source}", "<difference>", "eval"))  # type: ignore[no-any-return]  # noqa: S307  # text made above


def view_key(definition: ShapeDefinition, layout: tuple[str, ...]) -> tuple[object, ...]:
    """Equal for shapes that may share a `View`."""
    return (
        layout, definition.schema, definition.table, definition.relation_columns,
        definition.key_columns, definition.columns, definition.replica,
    )  # fmt: skip


class Headers(NamedTuple):
    """The constant parts of an entry's headers in one transaction, for one relation."""

    insert: str
    update: str
    delete: str
    moved_to: str
    moved_from: str
    tail: str


@lru_cache(maxsize=256)
def headers_for(relation: str, xid: int, tx: int) -> Headers:
    """The text around keys, values and positions (section 4.2)."""
    tail = f',{relation},"txids":[{xid}],"lsn":"{tx}","op_position":'
    return Headers(
        insert=f',"headers":{{"operation":"insert"{tail}',
        update=f',"headers":{{"operation":"update"{tail}',
        delete=f',"headers":{{"operation":"delete"{tail}',
        moved_to=',"headers":{"operation":"delete","key_change_to":"',
        moved_from=',"headers":{"operation":"insert","key_change_from":"',
        tail=f'"{tail}',
    )


def insert_items(view: View, headers: Headers, op: int, new: Row) -> list[Item]:
    """A row that was inserted, or that an update moved into the shape."""
    return [(op, f',{{"key":"{view.key(new)}",{view.insert(new)}{headers.insert}{op}'.encode())]


def delete_items(view: View, headers: Headers, op: int, old: Row) -> list[Item]:
    """A row that was deleted, or that an update moved out of the shape."""
    return [
        (op, f',{{"key":"{view.key(old)}",{view.delete_value(old)}{headers.delete}{op}'.encode()),
    ]


def update_items(view: View, headers: Headers, op: int, old: Row, new: Row) -> list[Item]:
    """A row that stays in the shape: nothing, an update, or a delete and an insert (section 4.5)."""
    if not view.update_is_visible(old, new):
        return []
    key = view.key(new)
    if any(old[i] != new[i] for i in view.key_at):
        gone = view.key(old)
        return [
            (op, f',{{"key":"{gone}",{view.delete_value(old)}{headers.moved_to}{key}{headers.tail}{op}'.encode()),
            (op + 1, f',{{"key":"{key}",{view.insert(new)}{headers.moved_from}{gone}{headers.tail}{op + 1}'.encode()),
        ]  # fmt: skip
    return moved_items(view, headers, op, old, new)


def moved_items(view: View, headers: Headers, op: int, old: Row, new: Row) -> list[Item]:
    """A row that stays under its key, whether its values have changed or not."""
    return [
        (
            op,
            f',{{"key":"{view.key(new)}",{view.update_value(old, new)}{headers.update}{op}'.encode(),
        ),
    ]
