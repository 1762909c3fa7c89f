"""The text of a clause, token by token: parts of it, and changes for a clause that only Postgres understands."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

from pglast.parser import ParseError, Token, parse_sql_json, scan

from django_electric.where.errors import WhereError

_CLOCK = re.compile(r"\b(?:now|today|tomorrow|yesterday)\b", re.IGNORECASE)
"""Words that make a literal of a date or time another one every day."""


def with_parameters(text: str, params: Mapping[int, str], types: Sequence[str]) -> str:
    """*text* with each ``$n`` replaced by a literal of its type; *types* are those of ``$1``…. Raises WhereError.

    >>> with_parameters("a = $1 OR b = '$1'", {1: "it's"}, ["text"])
    "a = (E'it\'\'s'::text) OR b = '$1'"
    """
    pieces: list[str] = []
    end = 0
    for token in scan(text):
        if token.name == "PARAM":
            number = int(text[token.start + 1 : token.end + 1])
            if number not in params:
                message = f"parameter ${number} was not provided"
                raise WhereError(message, at=len(text[: token.start].encode()), is_final=True)
            literal = f"({_literal(params[number])}::{types[number - 1]})"
            pieces += [text[end : token.start], literal]
            end = token.end + 1
    return "".join([*pieces, text[end:]])


def _literal(value: str) -> str:
    """Quoted as every server reads it."""
    return "E'{}'".format(value.replace("\\", "\\\\").replace("'", "''"))


def reads_the_clock(written: str, printed: str) -> bool:
    """Whether a literal of *written* is the present date or time, which Postgres has put in its place.

    >>> reads_the_clock("d > 'today'", "(d > '2024-01-01'::date)")
    True
    >>> reads_the_clock("s = 'today'", "(s = 'today'::text)")
    False
    """
    suspects = {literal for literal in _literals(written) if _CLOCK.search(literal)}
    return bool(suspects) and not suspects <= _literals(printed)


def _literals(text: str) -> set[str]:
    """The values of the string literals in a condition; none if it is no condition."""
    try:
        tree = json.loads(parse_sql_json(f"SELECT 1 WHERE {text}"))
    except ParseError:
        return set()
    return set(_strings(tree))


def _strings(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        constant = node.get("sval")
        if isinstance(constant, dict) and isinstance(constant.get("sval"), str):
            yield constant["sval"]
        for child in node.values():
            yield from _strings(child)
    elif isinstance(node, list):
        for child in node:
            yield from _strings(child)


def without_qualifiers(text: str, names: Collection[tuple[str, ...]]) -> str:
    """*text* with ``name.column`` become ``column`` for all *names*, each in its parts.

    >>> without_qualifiers('U0."x" = u0.f(a.u0) AND "A"."x"', {("u0",), ("A",)})
    '"x" = u0.f(a.u0) AND "x"'
    """
    tokens = [token for token in scan(text) if "COMMENT" not in token.name]
    words = [text[token.start : token.end + 1] for token in tokens]
    parts = [_identifier(word) for word in words]
    pieces: list[str] = []
    end = at = 0
    while at < len(words):
        last = at + 1
        while last + 1 < len(words) and words[last] == "." and parts[last + 1] is not None:
            last += 2
        # From `at` to before `last` there is a whole name; what is called is a function.
        name = tuple(part for part in parts[at : last - 1 : 2] if part is not None)
        if name in names and words[last : last + 1] != ["("]:
            pieces.append(text[end : tokens[at].start])
            end = tokens[last - 1].start
        at = last
    return "".join([*pieces, text[end:]])


def _identifier(word: str) -> str | None:
    """The name that a token is, if it is one."""
    if len(word) > 1 and word[0] == word[-1] == '"':
        return word[1:-1].replace('""', '"')
    return word.lower() if word[:1].isalpha() or word[:1] == "_" else None


def with_schemas(text: str, tables: Mapping[str, str]) -> str:
    """*text* with each of *tables* that its subqueries read called by the name that is given for it.

    >>> with_schemas("a IN (SELECT U0.a FROM t U0) AND b = 'FROM t' AND c = t", {"t": "s.t"})
    "a IN (SELECT U0.a FROM s.t U0) AND b = 'FROM t' AND c = t"
    """
    tokens = list(scan(text))
    pieces: list[str] = []
    end = 0
    for word, token, following in zip(tokens, tokens[1:], tokens[2:], strict=False):
        name = tables.get(text[token.start : token.end + 1])
        if word.name == "FROM" and name is not None and following.name != "ASCII_46":
            pieces += [text[end : token.start], name]
            end = token.end + 1
    return "".join([*pieces, text[end:]])


def without_prefix(text: str, alias: str) -> str:
    """*text* with ``alias.column`` become ``column``, but not in subqueries, where it may be another one.

    >>> without_prefix("((r.x)::text = 'r.x'::text)", "r")
    "((x)::text = 'r.x'::text)"
    >>> without_prefix("r.x IN (SELECT r.y FROM r) AND r.z", "r")
    'x IN (SELECT r.y FROM r) AND z'
    """
    tokens = list(scan(text))
    pieces: list[str] = []
    # Of each parenthesis that is open: whether there is a subquery in it.
    opened: list[bool] = [False]
    end = 0
    for token, following in pairwise(tokens):
        if token.name == "ASCII_40":
            opened.append(opened[-1] or following.name == "SELECT")
        elif token.name == "ASCII_41":
            opened.pop()
        is_alias = token.name == "IDENT" and text[token.start : token.end + 1] == alias
        if is_alias and not opened[-1] and text[following.start : following.end + 1] == ".":
            pieces.append(text[end : token.start])
            end = following.end + 1
    return "".join([*pieces, text[end:]])


# --- The text of a statement ------------------------------------------------------------------------


class Statement(NamedTuple):
    """The text of a subquery and of its condition, as in `Subquery`."""

    text: str
    condition: str | None


class Source:
    """The text of a clause, token by token; the tree does not tell where a subquery ends."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _tokens(self) -> list[Token]:
        return [token for token in scan(self._text) if "COMMENT" not in token.name]

    @cached_property
    def _bytes(self) -> Sequence[int]:
        """Of each character, where it stands in UTF-8."""
        if self._text.isascii():
            return range(len(self._text) + 1)
        return list(accumulate((len(one.encode()) for one in self._text), initial=0))

    @cached_property
    def _places(self) -> dict[int, int]:
        """Which token begins at which byte."""
        return {self._bytes[token.start]: place for place, token in enumerate(self._tokens)}

    @cached_property
    def _ends(self) -> dict[int, int]:
        """Which token closes the parenthesis that a token opens."""
        ends: dict[int, int] = {}
        opened: list[int] = []
        for place, token in enumerate(self._tokens):
            if token.name == "ASCII_40":
                opened.append(place)
            elif token.name == "ASCII_41" and opened:
                ends[opened.pop()] = place
        return ends

    def statement(self, at: int, *, has_condition: bool) -> Statement:
        """The subquery whose IN stands at byte *at*."""
        tokens = self._tokens
        first = self._places[at] + 1
        while tokens[first].name != "SELECT":
            first += 1
        end = tokens[self._ends[first - 1]].start
        text = self._text[tokens[first].start : end]
        if not has_condition:
            return Statement(text, None)
        # Before its condition there are only names.
        where = next(place for place in range(first, len(tokens)) if tokens[place].name == "WHERE")
        start = tokens[where].end + 1
        return Statement(text, " " * self._bytes[start] + self._text[start:end])
