"""Operators and functions on text and bytea, patterns among them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from django_electric.where.errors import Undecided
from django_electric.where.implementations import overloads
from django_electric.where.like import Matcher, with_backslash
from django_electric.where.runtime import binary, regexes, texts


@lru_cache(maxsize=1024)
def _matcher(pattern: str, ignores_case: bool) -> Callable[[str], bool]:
    try:
        return Matcher(pattern, ignores_case=ignores_case)
    except ValueError as error:
        raise Undecided("Postgres fails on such a pattern if it comes that far") from error


def _regex(pattern: str, ignores_case: bool) -> Callable[[str], bool]:
    try:
        return regexes.compile_regex(pattern, ignores_case=ignores_case)
    except ValueError as error:
        raise Undecided("a regular expression that is not known here") from error


def _like(text: str, pattern: str) -> bool:
    return _matcher(pattern, False)(text)


def _unlike(text: str, pattern: str) -> bool:
    return not _matcher(pattern, False)(text)


def _ilike(text: str, pattern: str) -> bool:
    if not pattern.isascii():
        raise Undecided("ILIKE of such letters depends on the database's locale")
    return _matcher(pattern, True)(text)


_AMBIGUOUS_UPPER = re.compile(
    "[\u00df\u0131\u0149\u017f\u01f0\u0300-\u036f\u0390\u03b0\u0587\u1e96-\u1e9f\u1f00-\u1fff\ufb00-\ufb17]"
)
"""Letters whose upper case may be ASCII, or several characters."""


def folded_upper(text: str) -> str:
    """``upper(text)`` beside a text in ASCII: letters beyond it stay apart from all of ASCII. Raises Undecided."""
    if text.isascii():
        return text.upper()
    if _AMBIGUOUS_UPPER.search(text):
        raise Undecided("the upper case of this text depends on the database's locale")
    return text.translate(_ASCII_UPPER)


_ASCII_UPPER = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}


def _unilike(text: str, pattern: str) -> bool:
    return not _ilike(text, pattern)


def _matches(text: str, pattern: str) -> bool:
    return _regex(pattern, False)(text)


def _mismatches(text: str, pattern: str) -> bool:
    return not _matches(text, pattern)


def _matches_any_case(text: str, pattern: str) -> bool:
    return _regex(pattern, True)(text)


def _mismatches_any_case(text: str, pattern: str) -> bool:
    return not _matches_any_case(text, pattern)


TEXT_ROWS = {
    **overloads("||", ("text text", texts.concatenate)),
    **overloads("length char_length character_length", ("text", texts.length), ("bpchar", texts.length), total=True),
    **overloads("octet_length", ("text", texts.octet_length), total=True),
    **overloads("bit_length", ("text", texts.bit_length), total=True),
    **overloads("substring substr", ("text int4", texts.substring), ("text int4 int4", texts.substring)),
    **overloads("left", ("text int4", texts.left)),
    **overloads("right", ("text int4", texts.right)),
    **overloads("btrim", ("text", texts.btrim), ("text text", texts.btrim), total=True),
    **overloads("ltrim", ("text", texts.ltrim), ("text text", texts.ltrim), total=True),
    **overloads("rtrim", ("text", texts.rtrim), ("text text", texts.rtrim), total=True),
    **overloads("replace", ("text text text", texts.replace)),
    **overloads("strpos position", ("text text", texts.strpos), total=True),
    **overloads("split_part", ("text text int4", texts.split_part)),
    **overloads("starts_with ^@", ("text text", texts.starts_with), total=True),
    **overloads("lpad", ("text int4", texts.lpad), ("text int4 text", texts.lpad)),
    **overloads("rpad", ("text int4", texts.rpad), ("text int4 text", texts.rpad)),
    **overloads("repeat", ("text int4", texts.repeat)),
    **overloads("reverse", ("text", texts.reverse), total=True),
    **overloads("upper", ("text", texts.upper)),
    **overloads("lower", ("text", texts.lower)),
    **overloads("initcap", ("text", texts.initcap)),
    **overloads("ascii", ("text", texts.ascii_)),
    **overloads("chr", ("int4", texts.chr_)),
    **overloads("md5", ("text", texts.md5), ("bytea", binary.md5), total=True),
    **overloads("translate", ("text text text", texts.translate)),
    **overloads("overlay", ("text text int4", texts.overlay), ("text text int4 int4", texts.overlay)),
    **overloads("~~ like", ("text text", _like)),
    **overloads("!~~ notlike", ("text text", _unlike)),
    **overloads("~~*", ("text text", _ilike)),
    **overloads("!~~*", ("text text", _unilike)),
    **overloads("~", ("text text", _matches)),
    **overloads("!~", ("text text", _mismatches)),
    **overloads("~*", ("text text", _matches_any_case)),
    **overloads("!~*", ("text text", _mismatches_any_case)),
    **overloads("like_escape", ("text text", with_backslash)),
}  # fmt: skip

BINARY_ROWS = {
    **overloads("||", ("bytea bytea", binary.concatenate)),
    **overloads("length octet_length", ("bytea", binary.length), total=True),
    **overloads("bit_length", ("bytea", binary.bit_length), total=True),
    **overloads("substring substr", ("bytea int4", binary.substring), ("bytea int4 int4", binary.substring)),
    **overloads("position", ("bytea bytea", binary.position), total=True),
    **overloads("get_byte", ("bytea int4", binary.get_byte)),
    **overloads("sha224", ("bytea", binary.sha224), total=True),
    **overloads("sha256", ("bytea", binary.sha256), total=True),
    **overloads("sha384", ("bytea", binary.sha384), total=True),
    **overloads("sha512", ("bytea", binary.sha512), total=True),
    **overloads("encode", ("bytea text", binary.encode)),
    **overloads("decode", ("text text", binary.decode)),
}  # fmt: skip
