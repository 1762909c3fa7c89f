"""WHERE.md section 5.4: LIKE and ILIKE."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_electric.where import Undecided
from django_electric.where.like import Matcher, pieces_of, with_backslash


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("abc", "abc", True),
        ("abc\n", "abc", False),
        ("abc", "a%", True),
        ("abc", "%c", True),
        ("abc", "%b%", True),
        ("abc", "_b_", True),
        ("abcd", "_b_", False),
        ("", "%", True),
        ("", "_", False),
        ("a", "%_", True),
        ("", "%_", False),
        ("a\nb", "a%b", True),
        ("a\nb", "a_b", True),
        ("a😀c", "a_c", True),
        ("a%", "a\\%", True),
        ("ab", "a\\%", False),
        ("a\\bc", "a\\\\%", True),
        ("aba", "aba%aba", False),
        ("abaaba", "aba%aba", True),
        ("xaybzc", "%a_b%c", True),
        ("xaybzd", "%a_b%c", False),
        ("abcabc", "%_bc", True),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("ABC", "abc", False),
        ("aab", "%ab%b", False),
        ("aabb", "%ab%b", True),
    ],
)
def test_like(text: str, pattern: str, expected: bool) -> None:
    assert Matcher(pattern, ignores_case=False)(text) is expected


@given(text=st.text("ab\n%_", max_size=8), pattern=st.text("ab%_", max_size=8))
def test_it_is_the_regular_expression_that_the_pattern_stands_for(text: str, pattern: str) -> None:
    source = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    expected = re.fullmatch(source, text, re.DOTALL) is not None
    assert Matcher(pattern, ignores_case=False)(text) is expected
    assert Matcher(pattern, ignores_case=False).function(text) is expected


def test_many_wildcards_take_no_time() -> None:
    assert not Matcher("%a" * 500 + "%b", ignores_case=False)("a" * 5_000)


class TestIlike:
    @pytest.mark.parametrize(("text", "pattern"), [("aBc", "AbC"), ("ABÉ", "ab_"), ("éX", "%x")])
    def test_folds_ascii(self, text: str, pattern: str) -> None:
        assert Matcher(pattern, ignores_case=True).function(text) is True

    @pytest.mark.parametrize("text", ["\u212a", "a\u0130"])
    def test_a_letter_whose_lower_case_only_the_locale_knows_fails(self, text: str) -> None:
        with pytest.raises(Undecided):
            Matcher("%k", ignores_case=True)(text)
        assert Matcher("%k", ignores_case=False)(text) is False


class TestEscape:
    @pytest.mark.parametrize(
        ("pattern", "escape", "expected"),
        [
            ("50!%%", "!", "50\\%%"),
            ("a!!b", "!", "a\\!b"),
            ("a\\%", "\\", "a\\%"),
            ("a\\%", "", "a\\\\%"),
            ("a\\b", "!", "a\\\\b"),
            ("a!\\b", "!", "a\\\\b"),
            ("a!", "!", "a\\"),
        ],
    )
    def test_any_character_becomes_a_backslash(
        self, pattern: str, escape: str, expected: str
    ) -> None:
        assert with_backslash(pattern, escape) == expected

    def test_only_one_character_can_escape(self) -> None:
        with pytest.raises(ValueError, match="invalid escape string"):
            with_backslash("a", "ab")

    def test_the_last_character_cannot(self) -> None:
        with pytest.raises(ValueError, match="must not end with escape"):
            pieces_of("a\\")
