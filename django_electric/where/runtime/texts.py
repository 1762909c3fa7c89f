"""text and varchar: what depends on no locale (``varlena.c``, ``oracle_compat.c``, ``varchar.c``).

Letters are folded in ASCII only, as every locale but the Turkic ones does.
"""

from __future__ import annotations

import hashlib
import re

from django_electric.where.errors import Undecided

_LONGEST = 10_000_000
"""Characters; Postgres's own limit is a gigabyte."""
_ASCII_WORDS = re.compile("[A-Za-z ]*")


def length(text: str) -> int:
    """In characters."""
    return len(text)


def octet_length(text: str) -> int:
    """In bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def bit_length(text: str) -> int:
    return 8 * octet_length(text)


def substring(text: str, start: int, count: int | None = None) -> str:
    """From character *start*, which counts from 1 and may lie before the text; *count* counts from there.

    >>> substring("alphabet", 3, 2), substring("abc", -1, 3), substring("abc", 2)
    ('ph', 'a', 'bc')
    """
    if count is None:
        return text[max(start, 1) - 1 :]
    if count < 0:
        raise ValueError("negative substring length not allowed")
    return text[max(start, 1) - 1 : max(start + count, 1) - 1]


def left(text: str, count: int) -> str:
    """The first *count* characters; all but the last ones if it is negative.

    >>> left("abcde", 2), left("abcde", -2)
    ('ab', 'abc')
    """
    return text[:count]


def right(text: str, count: int) -> str:
    """The last *count* characters; all but the first ones if it is negative.

    >>> right("abcde", 2), right("abcde", -2)
    ('de', 'cde')
    """
    if count < 0:
        return text[-count:]
    return text[max(len(text) - count, 0) :]


def btrim(text: str, characters: str = " ") -> str:
    """Without any of *characters* at its ends."""
    return text.strip(characters)


def ltrim(text: str, characters: str = " ") -> str:
    return text.lstrip(characters)


def rtrim(text: str, characters: str = " ") -> str:
    return text.rstrip(characters)


def replace(text: str, old: str, new: str) -> str:
    """Every *old*; an empty one is nowhere.

    >>> replace("abab", "b", "cc"), replace("ab", "", "x")
    ('accacc', 'ab')
    """
    if not old:
        return text
    _check_length(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def strpos(text: str, part: str) -> int:
    """Where *part* begins, from 1; 0 if nowhere.

    >>> strpos("abc", "c"), strpos("abc", ""), strpos("abc", "d")
    (3, 1, 0)
    """
    return text.find(part) + 1


def split_part(text: str, separator: str, number: int) -> str:
    """Piece *number*, from 1, or from -1 at the end; empty if there is none.

    >>> split_part("a,b,c", ",", 2), split_part("a,b,c", ",", -1), split_part("a", ",", 2)
    ('b', 'c', '')
    """
    if number == 0:
        raise ValueError("field position must not be zero")
    pieces = text.split(separator) if separator else [text]
    place = number - 1 if number > 0 else len(pieces) + number
    return pieces[place] if 0 <= place < len(pieces) else ""


def starts_with(text: str, prefix: str) -> bool:
    return text.startswith(prefix)


def concatenate(a: str, b: str) -> str:
    """The operator ``||``."""
    return a + b


def concat(*texts: str | None) -> str:
    """NULLs are passed over.

    >>> concat("a", None, "b"), concat(None)
    ('ab', '')
    """
    return "".join(text for text in texts if text is not None)


def concat_ws(separator: str | None, *texts: str | None) -> str | None:
    """The texts that are not NULL, with *separator* between.

    >>> concat_ws("-", "a", None, "")
    'a-'
    """
    if separator is None:
        return None
    return separator.join(text for text in texts if text is not None)


def lpad(text: str, count: int, fill: str = " ") -> str:
    """
    >>> lpad("7", 3, "0"), lpad("abc", 2), lpad("a", 5, "xy")
    ('007', 'ab', 'xyxya')
    """
    return _padding(text, count, fill) + text[: max(count, 0)]


def rpad(text: str, count: int, fill: str = " ") -> str:
    return text[: max(count, 0)] + _padding(text, count, fill)


def _padding(text: str, count: int, fill: str) -> str:
    missing = count - len(text)
    if missing <= 0 or not fill:
        return ""
    _check_length(count)
    return (fill * (missing // len(fill) + 1))[:missing]


def repeat(text: str, count: int) -> str:
    """Empty for a count that is not positive."""
    _check_length(len(text) * max(count, 0))
    return text * count


def reverse(text: str) -> str:
    return text[::-1]


def upper(text: str) -> str:
    _check_ascii(text)
    return text.upper()


def lower(text: str) -> str:
    _check_ascii(text)
    return text.lower()


def initcap(text: str) -> str:
    """What a word is beyond letters and blanks depends on the locale.

    >>> initcap("hello WORLD")
    'Hello World'
    """
    if not _ASCII_WORDS.fullmatch(text):
        raise Undecided("what a word is depends on the database's locale")
    return text.title()


def _check_ascii(text: str) -> None:
    if not text.isascii():
        raise Undecided("letters beyond ASCII depend on the database's locale")


def _check_length(count: int) -> None:
    if count > _LONGEST:
        raise Undecided("a text so long is left to Postgres")


def ascii_(text: str) -> int:
    """The code point of the first character, 0 if there is none."""
    return ord(text[0]) if text else 0


def chr_(number: int) -> str:
    """
    >>> chr_(8364)
    '€'
    """
    if number <= 0 or 0xD800 <= number <= 0xDFFF or number > 0x10FFFF:
        raise ValueError("requested character not valid")
    return chr(number)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def translate(text: str, source: str, target: str) -> str:
    """Each character of *source* becomes the one in its place in *target*, or goes.

    >>> translate("12345", "143", "ax")
    'a2x5'
    """
    table: dict[int, str] = {}
    for place, character in enumerate(source):
        table.setdefault(ord(character), target[place : place + 1])
    return text.translate(table)


def overlay(text: str, new: str, start: int, count: int | None = None) -> str:
    """*new* in the place of *count* characters (as many as it has) from *start*.

    >>> overlay("Txxxxas", "hom", 2, 4), overlay("abc", "X", 3)
    ('Thomas', 'abX')
    """
    if start <= 0:
        raise ValueError("negative substring length not allowed")
    end = start + (len(new) if count is None else count)
    return text[: start - 1] + new + text[max(end, 1) - 1 :]


def varchar(text: str, count: int) -> str:
    """An explicit cast to ``varchar(count)``."""
    return text[:count]


def bpchar(text: str, count: int) -> str:
    """An explicit cast to ``char(count)``, without the blanks at its end."""
    return text[:count].rstrip(" ")
