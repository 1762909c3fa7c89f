"""PROTOCOL section 2: what a query means, and the order in which it is refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import (
    InvalidRequest,
    ShapeParams,
    ShapeRequest,
    nest,
    parse,
    parse_delete,
    subset_members,
)
from django_electric.shapes.offset import BEFORE_ALL, INFINITE, LogOffset


def read(**parameters: object) -> ShapeRequest:
    return parse({"table": "items", "offset": "-1", **parameters})


def errors_of(query: Mapping[str, object]) -> Mapping[str, object]:
    with pytest.raises(InvalidRequest) as refused:
        parse(query)
    return refused.value.errors


ITEMS = ShapeParams(TableName("public", "items"))


class TestCasts:
    """Section 2.2."""

    def test_defaults(self) -> None:
        assert read() == ShapeRequest(shape=ITEMS, offset=BEFORE_ALL)

    @pytest.mark.parametrize("name", ["handle", "cursor", "where", "columns", "replica", "log"])
    def test_blank_counts_as_absent(self, name: str) -> None:
        assert read(**{name: "  "}) == read()

    @pytest.mark.parametrize("text", ["true", "", "False", "0", "no"])
    def test_live_is_true_unless_it_is_the_text_false(self, text: str) -> None:
        assert read(offset="0_0", handle="h", live=text).is_live
        assert not read(offset="0_0", handle="h", live="false").is_live

    def test_the_old_name_of_live_sse_is_strict_and_counts_only_alone(self) -> None:
        live = {"offset": "0_0", "handle": "h", "live": "true"}
        assert read(**live, experimental_live_sse="1").is_sse
        assert not read(**live, experimental_live_sse="false").is_sse
        assert not read(**live, experimental_live_sse="true", live_sse="false").is_sse
        query = {"table": "items", **live, "experimental_live_sse": "yes"}
        assert errors_of(query) == {"live_sse": ["is invalid"]}

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("replica", "some"),
            ("log", "none"),
            ("experimental_compaction", "maybe"),
            ("params", '{"1":"x"}'),
            ("params", {"1": "a\0b"}),
            ("where", {"a": "b"}),
            ("where", "a = '\0'"),
        ],
    )
    def test_values_that_are_invalid(self, name: str, value: object) -> None:
        assert errors_of({"table": "items", "offset": "-1", name: value}) == {name: ["is invalid"]}

    def test_params_are_kept_for_where_alone(self) -> None:
        given = nest([("where", "a = $1"), ("params[2]", "y"), ("params[1]", "x")])
        assert read(**given).shape.params == (("1", "x"), ("2", "y"))
        assert read(params={"1": "x"}).shape.params is None

    def test_other_parameters_are_ignored(self) -> None:
        others = {"cache-buster": "1", "expired_handle": "x", "database_id": "y", "foo": "z"}
        assert read(**others) == read()

    def test_the_last_of_equal_keys_wins(self) -> None:
        assert nest([("a", "1"), ("a", "2"), ("b[x]", "1"), ("b[x]", "2")]) == {
            "a": "2",
            "b": {"x": "2"},
        }

    def test_a_bracket_that_is_no_bracket_form_is_a_name(self) -> None:
        assert nest([("[x]", "1"), ("a[", "2")]) == {"[x]": "1", "a[": "2"}


class TestOffsets:
    """Sections 3.1 and 2.4 B."""

    @pytest.mark.parametrize(
        ("text", "offset"),
        [
            ("-1", BEFORE_ALL),
            ("-1_0", BEFORE_ALL),
            ("0_inf", LogOffset(0, INFINITE)),
            ("+0_02", LogOffset(0, 2)),
            ("26741384_3", LogOffset(26741384, 3)),
        ],
    )
    def test_an_offset_is_read(self, text: str, offset: LogOffset) -> None:
        assert read(offset=text, handle="h").offset == offset

    def test_now_has_no_position(self) -> None:
        request = read(offset="now", handle="bogus")
        assert request.offset is None
        assert not request.has_position
        assert request.offset_text == "now"

    @pytest.mark.parametrize(
        "text",
        [
            "-5",
            "1",
            "1_2_3",
            "0_",
            "_0",
            "1.5_0",
            "0_-1",
            "inf_0",
            "x",
            "1" * 5000 + "_0",
        ],
    )
    def test_a_bad_offset_is_refused(self, text: str) -> None:
        query = {"table": "items", "offset": text, "handle": "h"}
        assert errors_of(query) == {"offset": ["has invalid format"]}


class TestOrder:
    """Section 2.4: errors of stage A come together, each later stage alone."""

    def test_nothing_at_all_lacks_the_offset(self) -> None:
        assert errors_of({}) == {"offset": ["can't be blank"]}

    def test_cast_errors_and_the_missing_offset_come_together(self) -> None:
        query = {"table": "items", "replica": "some", "columns": "a,,b"}
        assert errors_of(query) == {
            "replica": ["is invalid"],
            "columns": ["Invalid zero-length delimited identifier"],
            "offset": ["can't be blank"],
        }

    @pytest.mark.parametrize(
        ("query", "errors"),
        [
            ({"offset": "5"}, {"offset": ["has invalid format"]}),
            ({"offset": "0_0"}, {"handle": ["can't be blank when offset != -1"]}),
            ({"offset": "0_0", "handle": " "}, {"handle": ["can't be blank when offset != -1"]}),
            ({"offset": "-1", "live": "true"}, {"live": ["can't be true when offset == -1"]}),
            ({"offset": "now", "live": "true"}, {"live": ["can't be true when offset is 'now'"]}),
            (
                {"offset": "-1", "live_sse": "true"},
                {"live_sse": ["can't be true unless live is also true"]},
            ),
            ({"offset": "-1"}, {"table": ["can't be blank"]}),
            (
                {"offset": "-1", "table": "a.b.c"},
                {"table": ["Invalid relation identifier, too many delimiters: a.b.c"]},
            ),
        ],
    )
    def test_each_stage_stops_the_rest(self, query: dict[str, str], errors: object) -> None:
        assert errors_of(query) == errors


class TestSubset:
    """Section 11.1: the presence of any such key makes it a subset request."""

    def test_both_spellings(self) -> None:
        assert subset_members({"subset__where": "a = 1", "subset": {"limit": "5"}}) == {
            "where": "a = 1",
            "limit": "5",
        }
        assert subset_members({"where": "a = 1"}) is None
        assert read(subset__limit="5").subset == {"limit": "5"}


class TestDelete:
    """Section 1.6."""

    def test_the_definition_or_the_handle(self) -> None:
        assert parse_delete({"table": "items"}).shape == ITEMS
        wanted = parse_delete({"handle": "1-2", "offset": "nonsense"})
        assert (wanted.shape, wanted.handle) == (None, "1-2")

    @pytest.mark.parametrize(
        ("query", "errors"),
        [
            ({}, {"handle": ["can't be blank when shape definition is missing"]}),
            ({"table": "items", "live": "banana"}, {"live": ["is invalid"]}),
            (
                {"table": "a@b"},
                {"table": ["Invalid unquoted identifier contains special characters: a@b"]},
            ),
        ],
    )
    def test_refusals(self, query: dict[str, str], errors: object) -> None:
        with pytest.raises(InvalidRequest) as refused:
            parse_delete(query)
        assert refused.value.errors == errors
