"""Regular expressions against Postgres, and against patterns that take for ever."""

from __future__ import annotations

import doctest
from random import Random
from typing import Any

import pytest

from django_electric.postgres.relation import quote_literal
from django_electric.where.errors import Undecided
from django_electric.where.runtime import regexes
from django_electric.where.runtime.regexes import compile_regex
from tests.support.oracle import Oracle, differences, outcome

PATTERNS = [
    "", "a", "^a", "a$", "^$", "^a.c$", "a|b", "^(a|b)c", "(ab)+", "(?:ab)*c", "a{2}", "a{2,}", "a{1,2}b", "a{0}b", "ba?c", "a+?b",
    "[abc]", "[^abc]", "[a-c]x", "[]a]", "[^]a]", "[a-]", "[-a]", "[a^]", "[.]", "[*+?]", "[[:alpha:]]+", "[^[:space:]]", "[[:digit:]a-f]",
    "[\\d.]+", "[\\w-]", "[\\]]", "[\\\\]", "[\\^x]", "[a\\-z]", "\\d+", "\\D", "\\s", "\\S", "\\w+\\s\\w+", "\\W", "\\.", "\\\\", "\\$", "\\n", "\\t",
    "\\Aab", "ab\\Z", "\\yword\\y", "\\mw", "d\\M", "x^a", "a$b", "$^", "(a|b)?c", "(?:a+)?b", "a{1}", "(a|b){1}c", "a]", "a}", "é", "[é]", "[^é]", "é+", "日.", ".", "..", "^.$", "^..$",
    "@[a-z]+\\.com$", "^[A-Z]{2}-[0-9]{3,5}$", "(foo|bar)?baz", "a/b", "a-b", "#", "a b", "a\nb", "[[:punct:]]", "[[:xdigit:]]+$", "[!-~]", "&&", "[a&&b]", "[a~~b]", "[||]",
    "[[:upper:]][[:lower:]]", "((a)(b))c", "(a|b|c)$", "^(?:[0-9]+)-x", "\\(x\\)", "~", "\\_", "[_]", "'", "\"", "%", "[%-)]",
]  # fmt: skip
TEXTS = [
    "", "a", "b", "ab", "abc", "aab", "aaab", "abab", "ababc", "ba", "bac", "bc", "a\n", "\na", "a\nb", "a\nc", "\n", "AB-123", "ab-1234", "é", "Été", "日本",
    "foo@example.com", "barbaz", "baz", "word", "a word b", "sword", "a.b", "a]b", "]", "^", "-", "\\", "$", "a-z", "x y", "\t", "12", "1.5", "c0ffee", "a/b",
    "(x)", "#", "a b", "_", "%", "'", "\"", "|", "&", "~", "x^a", "a$b", "a}", "K", "ſ", "İ", "*", "10-x", "Word", "wOrD",
]  # fmt: skip
REFUSED = [
    "(?i)a", "***=a", "a**", "*a", "^*", "^{1}", "\\é", "(a", "a)", "a{2", "a{,2}", "a{3,2}", "a{256}", "(a+)+", "(a|b)+", "(a*)*", "(a?){5}", "(a)\\1", "a||b", "|a",
    "a|", "()", "(?=a)", "(?!a)", "(?<=a)", "[z-a]", "[a-é]", "[[.a.]]", "[[=a=]]", "[[:<:]]", "[[:nope:]]", "[a-b-c]", "[a", "[]", "\\", "\\x41", "\\u0041",
    "\\B", "\\Y", "\\1", "\\e", "\\0", "a{1}{2}", "[a-\\d]", "[\\D]", "a*+", "(?:a|b)*", "\\q",
]  # fmt: skip


@pytest.mark.parametrize("ignores_case", [False, True])
def test_a_text_matches_as_in_postgres(oracle: Oracle, ignores_case: bool) -> None:
    sign = "~*" if ignores_case else "~"
    ours: dict[str, Any] = {}
    for pattern in PATTERNS:
        if ignores_case and not pattern.isascii():
            continue
        matches = compile_regex(pattern, ignores_case=ignores_case)
        for text in TEXTS:
            clause = f"{quote_literal(text)}::text {sign} {quote_literal(pattern)}"
            ours[clause] = outcome(lambda: str(matches(text)).lower(), Undecided)  # noqa: B023
    assert differences(ours, oracle) == {}
    assert sum(answer is not ... for answer in ours.values()) > len(ours) / 2


ATOMS = [
    "a",
    "b",
    "c",
    ".",
    "[ab]",
    "[^a]",
    "\\d",
    "\\w",
    "(ab)",
    "(a|b)",
    "(?:bc|a)",
    "^",
    "$",
    "\\.",
    "[[:alpha:]]",
    "1",
    "\\y",
    "\n",
]
QUANTIFIERS = ["", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,1}", "+?", "*?"]


def test_random_patterns_match_as_in_postgres(oracle: Oracle) -> None:
    """What we take, Postgres takes; and it finds the same."""
    random = Random(11)
    ours: dict[str, Any] = {}
    for _ in range(400):
        pattern = "".join(
            random.choice(ATOMS) + random.choice(QUANTIFIERS) for _ in range(random.randint(1, 4))
        )
        pattern += random.choice(["", "", "|" + random.choice(ATOMS)])
        try:
            matches = compile_regex(pattern, ignores_case=False)
        except ValueError:
            continue
        for _ in range(8):
            text = "".join(random.choice("aabbc1. \n") for _ in range(random.randint(0, 7)))
            clause = f"{quote_literal(text)}::text ~ {quote_literal(pattern)}"
            ours[clause] = outcome(lambda: str(matches(text)).lower(), Undecided)  # noqa: B023
    assert len(ours) > 1000
    assert differences(ours, oracle) == {}


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_python_might_read_otherwise_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        compile_regex(pattern, ignores_case=False)


def test_kinds_of_characters_beyond_ascii_are_left_to_postgres() -> None:
    for pattern in ("\\w", "[[:alpha:]]", "\\y", "[\\d]", "\\S"):
        with pytest.raises(Undecided):
            compile_regex(pattern, ignores_case=False)("é")
    with pytest.raises(Undecided):
        compile_regex("k", ignores_case=True)("\u212a")
    with pytest.raises(ValueError):
        compile_regex("é", ignores_case=True)


def test_no_pattern_takes_long() -> None:
    """The worst that is let through, on the longest text that is."""
    for pattern in (
        "a*a*a*b",
        "a*a*b",
        "a*b",
        ".*.*.*x",
        "(ab)*(ab)*c",
        "a{0,255}a{0,255}b",
        "^a*a*b",
        "a?a?a?a?a?a?a?a?b",
    ):
        matches = compile_regex(pattern, ignores_case=False)
        longest = max(n for n in (20, 50, 200, 3_000, 10_000) if _is_taken(matches, "a" * n))
        assert matches("a" * longest) is False
        with pytest.raises(Undecided):
            matches("a" * 20_000_000)


def _is_taken(matches: Any, text: str) -> bool:
    try:
        matches(text)
    except Undecided:
        return False
    return True


def test_the_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(regexes).failed == 0
