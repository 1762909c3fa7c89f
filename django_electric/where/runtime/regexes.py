"""``~`` and ``~*``: Postgres's advanced regular expressions (section 9.7.3), as far as Python has the same.

A pattern is read by the grammar below and written anew for `re`; whatever is not in it is refused. Only whether a text
matches is asked, so it does not matter that Postgres prefers the longest match and Python the first. What the text's
characters beyond ASCII are (letters? of which case?) depends on the locale: Undecided where the pattern asks.

Python backtracks. A repeated group may therefore hold neither a repetition nor an alternative, and a text may not be so
long that to try all the ways in which the repetitions can end would take for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from django_electric.where.errors import Undecided

_MOST_STEPS = 10_000_000
"""How many steps of Python's matcher a text may cost, roughly."""
_GREATEST_COUNT = 255
_LONGEST_PATTERN = 1000

_CLASSES = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r" \t\n\r\f\v",
    "blank": r" \t",
    "xdigit": "0-9a-fA-F",
    "punct": r"!-/:-@\[-`{-~",
    "cntrl": r"\x00-\x1f\x7f",
    "graph": "!-~",
    "print": " -~",
}
_SHORT_CLASSES = {"d": "0-9", "s": r" \t\n\r\f\v", "w": "a-zA-Z0-9_"}
_CONTROLS = {"t": r"\t", "n": r"\n", "r": r"\r", "f": r"\f", "v": r"\v"}
_CONSTRAINTS = {"A": r"\A", "Z": r"\Z", "y": r"\b", "m": r"\b(?=\w)", "M": r"\b(?<=\w)"}
_COUNTS: Mapping[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_COUNT = re.compile(r"\{([0-9]{1,3})(?:(,)([0-9]{1,3})?)?\}", re.ASCII)
_NAMED_CLASS = re.compile(r"\[:([a-z]+):\]")
_SPECIAL_IN_BRACKETS = frozenset("\\]^-[&~|")


@lru_cache(maxsize=1024)
def compile_regex(pattern: str, *, ignores_case: bool) -> Callable[[str], bool]:
    """Whether a text matches. ValueError if the pattern is not one that Python certainly reads alike.

    >>> compile_regex("^a+[0-9]{2}$", ignores_case=False)("aa12"), compile_regex("B.", ignores_case=True)("abc")
    (True, True)
    """
    if len(pattern) > _LONGEST_PATTERN or pattern.startswith("***"):
        raise ValueError("not a regular expression that is known here")
    if ignores_case and not pattern.isascii():
        raise ValueError("letters beyond ASCII depend on the database's locale")
    reader = _Reader(pattern)
    source = reader.whole()
    flags = re.ASCII | re.DOTALL | (re.IGNORECASE if ignores_case else 0)
    needs_ascii = ignores_case or reader.asks_for_kinds
    return _Matcher(re.compile(source, flags), needs_ascii, reader.longest())


class _Matcher:
    """A compiled pattern, and for which texts it is exact and cheap."""

    def __init__(self, expression: re.Pattern[str], needs_ascii: bool, longest: int) -> None:
        self._search = expression.search
        self._needs_ascii = needs_ascii
        self._longest = longest

    def __call__(self, text: str) -> bool:
        if len(text) > self._longest:
            raise Undecided("a text so long is left to Postgres")
        if self._needs_ascii and not text.isascii():
            raise Undecided("characters beyond ASCII depend on the database's locale")
        return self._search(text) is not None


class _Reader:
    """One pattern, read from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._place = 0
        self._endless = 0
        """How many repetitions have no end: each may stop after any character."""
        self._ways = 1
        """In how many ways all other repetitions and alternatives can go."""
        self.asks_for_kinds = False
        """Whether it matters what kind of character one beyond ASCII is."""

    def whole(self) -> str:
        """Python's source for all of the pattern."""
        source = self._alternatives() if self._pattern else ""
        if self._place < len(self._pattern):
            raise ValueError("parentheses () not balanced")
        return source

    def longest(self) -> int:
        """The length of text from which on there are too many ways to match."""
        is_anchored = self._pattern.startswith("^") and "|" not in self._pattern
        power = self._endless + (0 if is_anchored else 1)
        return int((_MOST_STEPS / self._ways) ** (1 / max(power, 1)))

    def _peek(self) -> str:
        return self._pattern[self._place : self._place + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise ValueError("the pattern ends too early")
        self._place += 1
        return character

    def _alternatives(self) -> str:
        branches = [self._branch()]
        while self._peek() == "|":
            self._take()
            branches.append(self._branch())
        self._ways *= len(branches)
        return "|".join(branches)

    def _branch(self) -> str:
        """Quantified atoms, at least one: empty branches are refused."""
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._quantified())
        if not parts:
            raise ValueError("an empty branch")
        return "".join(parts)

    def _quantified(self) -> str:
        before = self._endless, self._ways
        atom, may_repeat = self._atom()
        has_ways = (self._endless, self._ways) != before
        counts = self._quantifier()
        if counts is None:
            return atom
        least, most = counts
        if not may_repeat or (has_ways and counts not in ((0, 1), (1, 1))):
            raise ValueError("a repetition that is not known here")
        if most is None:
            self._endless += 1
        else:
            self._ways *= most - least + 1
        return f"{atom}{{{least},{'' if most is None else most}}}"

    def _quantifier(self) -> tuple[int, int | None] | None:
        """How often the atom may occur. A quantifier that is not greedy matches the same texts."""
        character = self._peek()
        if not character or character not in "*+?{":
            return None
        counts = self._count() if character == "{" else _COUNTS[self._take()]
        if self._peek() == "?":
            self._take()
        if self._peek() in ("*", "+", "?", "{"):
            raise ValueError("a quantifier after a quantifier")
        return counts

    def _count(self) -> tuple[int, int | None]:
        match = _COUNT.match(self._pattern, self._place)
        if not match:
            raise ValueError("a brace that is not a count")
        self._place = match.end()
        least = int(match[1])
        most = int(match[3]) if match[3] else None if match[2] else least
        if max(least, most or 0) > _GREATEST_COUNT or (most is not None and least > most):
            raise ValueError("invalid repetition count(s)")
        return least, most

    def _atom(self) -> tuple[str, bool]:
        """Source for an atom or a constraint, and whether it may be repeated."""
        character = self._take()
        match character:
            case "(":
                return self._group(), True
            case "[":
                return self._brackets(), True
            case ".":
                return ".", True
            case "^":
                return r"\A", False
            case "$":
                return r"\Z", False
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                raise ValueError("quantifier operand invalid")
        return re.escape(character), True

    def _group(self) -> str:
        if self._peek() == "?":
            self._take()
            if self._take() != ":":
                raise ValueError("looking around and embedded options are not known here")
        source = self._alternatives()
        if self._take() != ")":
            raise ValueError("parentheses () not balanced")
        return f"(?:{source})"

    def _escape(self) -> tuple[str, bool]:
        character = self._take()
        if not character.isascii():
            raise ValueError("an escaped character that is not known here")
        if not character.isalnum():
            return re.escape(character), True
        if character in _CONTROLS:
            return _CONTROLS[character], True
        if character in "AZ":
            return _CONSTRAINTS[character], False
        self.asks_for_kinds = True
        if character in _CONSTRAINTS:
            return _CONSTRAINTS[character], False
        if character in _SHORT_CLASSES:
            return f"[{_SHORT_CLASSES[character]}]", True
        if character in "DSW":
            return f"[^{_SHORT_CLASSES[character.lower()]}]", True
        raise ValueError(f"the escape \\{character} is not known here")

    # --- bracket expressions ----------------------------------------------------------------------

    def _brackets(self) -> str:
        """``[…]``: characters, ranges in ASCII and classes."""
        sign = ""
        if self._peek() == "^":
            sign = self._take()
        parts: list[str] = []
        while self._peek() != "]" or not parts:
            parts.append(self._member())
        self._take()
        return f"[{sign}{''.join(parts)}]"

    def _member(self) -> str:
        """A class, a character, or a range of characters."""
        if self._peek() == "[":
            return self._named_class()
        is_escaped = self._peek() == "\\"
        start = self._character()
        if len(start) > 1:
            return start
        if self._peek() != "-" or self._pattern[self._place + 1 : self._place + 2] == "]":
            if start == "-" and not is_escaped and self._is_inside():
                raise ValueError("a hyphen that is neither first nor last")
            return _bracketed(start)
        self._take()
        if self._peek() == "[":
            raise ValueError("a range that is not known here")
        end = self._character()
        if len(end) > 1 or start == "-" or end == "-" or not (start + end).isascii() or start > end:
            raise ValueError("a range that is not known here")
        return f"{_bracketed(start)}-{_bracketed(end)}"

    def _is_inside(self) -> bool:
        """Whether what was just read is neither the first nor the last in its brackets."""
        before = self._pattern[: self._place - 1]
        return not before.endswith(("[", "[^")) and self._peek() != "]"

    def _named_class(self) -> str:
        match = _NAMED_CLASS.match(self._pattern, self._place)
        if not match or match[1] not in _CLASSES:
            raise ValueError("a class or collating element that is not known here")
        self._place = match.end()
        self.asks_for_kinds = True
        return _CLASSES[match[1]]

    def _character(self) -> str:
        """A character of a bracket expression, or the source for an escaped class or control character."""
        character = self._take()
        if character != "\\":
            return character
        character = self._take()
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character in _SHORT_CLASSES:
            self.asks_for_kinds = True
            return _SHORT_CLASSES[character]
        if character.isalnum() or not character.isascii():
            raise ValueError(f"the escape \\{character} is not known here")
        return character


def _bracketed(character: str) -> str:
    return "\\" + character if character in _SPECIAL_IN_BRACKETS else character
