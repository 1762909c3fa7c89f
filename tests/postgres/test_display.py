"""PROTOCOL section 4.8: the settings under which values are shown."""

from __future__ import annotations

from django_electric.postgres.display import (
    DISPLAY_SETTINGS,
    FUNCTION_DISPLAY_SETTINGS,
    LOCAL_DISPLAY_SETTINGS,
)


def test_the_settings_are_those_of_the_specification() -> None:
    assert DISPLAY_SETTINGS.split("; ") == [
        "SET bytea_output = 'hex'",
        "SET DateStyle = 'ISO, DMY'",
        "SET TimeZone = 'UTC'",
        "SET extra_float_digits = 1",
        "SET IntervalStyle = 'iso_8601'",
    ]


def test_a_session_that_others_use_gets_the_same_for_one_transaction() -> None:
    assert DISPLAY_SETTINGS.replace("SET ", "SET LOCAL ") == LOCAL_DISPLAY_SETTINGS


def test_a_function_has_the_same_as_clauses() -> None:
    assert DISPLAY_SETTINGS.replace(";", "") == FUNCTION_DISPLAY_SETTINGS
