"""LIKE and ILIKE: a pattern as a function from text to truth (WHERE.md section 5.4).

``_`` is one character, ``%`` any number of them, newlines included; a backslash takes the next
character literally. A pattern is cut at its ``%`` into pieces of fixed length, of which the first
and the last are anchored and each of the others is taken where it first occurs: no backtracking.

ILIKE is Postgres's ``lower()`` of both sides, which outside ASCII depends on the database's locale.
Patterns are therefore ASCII (typecheck sees to it), so that the letters of the text beyond ASCII
can only meet wildcards (in Turkish and Azeri I is not i: typecheck is told); the two whose lower case may be ASCII, or two characters, raise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import methodcaller

from django_electric.where.errors import Undecided

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
# KELVIN SIGN and LATIN CAPITAL LETTER I WITH DOT ABOVE.
_AMBIGUOUS = re.compile("[\u212a\u0130]")

Piece = tuple[str | None, ...]
"""Characters in a row; None stands for ``_``."""


def pieces_of(pattern: str) -> list[Piece]:
    """What stands between the ``%`` of a pattern. Raises ValueError for a lone backslash at its end.

    >>> pieces_of(r"a\\%%_")
    [('a', '%'), (None,)]
    """
    pieces: list[list[str | None]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            pieces.append([])
        elif character == "\\":
            literal = next(characters, "")
            if not literal:
                raise ValueError("LIKE pattern must not end with escape character")
            pieces[-1].append(literal)
        else:
            pieces[-1].append(None if character == "_" else character)
    return [tuple(piece) for piece in pieces]


def with_backslash(pattern: str, escape: str) -> str:
    """*pattern* of ``LIKE pattern ESCAPE escape`` as one with backslash for its escape character.

    >>> with_backslash("50!%%", "!"), with_backslash("a\\\\b", "")
    ('50\\\\%%', 'a\\\\\\\\b')
    """
    if len(escape) > 1:
        raise ValueError("invalid escape string")
    if escape == "\\":
        return pattern
    written = []
    is_escaped = False
    for character in pattern:
        if character == escape and not is_escaped:
            written.append("\\")
            is_escaped = True
            continue
        written.append("\\\\" if character == "\\" and not is_escaped else character)
        is_escaped = False
    return "".join(written)


def fold(text: str) -> str:
    """*text* as ILIKE sees it. Raises Undecided."""
    if text.isascii():
        return text.lower()
    if _AMBIGUOUS.search(text):
        raise Undecided("ILIKE of this text depends on the database's locale")
    return text.translate(_ASCII_LOWER)


class Matcher:
    """A compiled pattern.

    >>> Matcher("a%c", ignores_case=False)("ab\\nc"), Matcher("_", ignores_case=False)("😀")
    (True, True)
    """

    def __init__(self, pattern: str, *, ignores_case: bool) -> None:
        pieces = pieces_of(pattern.lower() if ignores_case else pattern)
        self._matches = _simple(pieces) or _Pieces(pieces)
        self._ignores_case = ignores_case

    def __call__(self, text: str) -> bool:
        return self._matches(fold(text) if self._ignores_case else text)

    @property
    def function(self) -> Callable[[str], bool]:
        """The same as calling this, with nothing in between where no case is folded."""
        return self if self._ignores_case else self._matches


def _expression(piece: Piece) -> re.Pattern[str]:
    return re.compile("".join("." if c is None else re.escape(c) for c in piece), re.DOTALL)


def _simple(pieces: list[Piece]) -> Callable[[str], bool] | None:
    """The patterns that a method of str answers: no ``_``, and ``%`` at most at the two ends."""
    literals = [[c for c in piece if c is not None] for piece in pieces]
    if list(map(len, literals)) != list(map(len, pieces)):
        return None
    match ["".join(literal) for literal in literals]:
        case [whole]:
            return methodcaller("__eq__", whole)
        case [start, ""]:
            return methodcaller("startswith", start)
        case ["", end]:
            return methodcaller("endswith", end)
        case ["", part, ""]:
            return methodcaller("__contains__", part)
    return None


class _Pieces:
    """Pieces with ``%`` between them."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._is_whole = len(pieces) == 1
        self._first = _expression(pieces[0])
        self._last = _expression(pieces[-1])
        self._first_length, self._last_length = len(pieces[0]), len(pieces[-1])
        self._between = [_expression(piece) for piece in pieces[1:-1] if piece]

    def __call__(self, text: str) -> bool:
        if self._is_whole:
            return self._first.fullmatch(text) is not None
        start, end = self._first_length, len(text) - self._last_length
        if end < start or not self._first.match(text) or not self._last.match(text, end):
            return False
        for expression in self._between:
            found = expression.search(text, start, end)
            if found is None:
                return False
            start = found.end()
        return True
