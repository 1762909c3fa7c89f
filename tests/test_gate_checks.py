"""System checks of secrets, the gatekeeper's keys and the hook."""

from __future__ import annotations

import pytest
from django.test import override_settings

from django_electric.gate_checks import check_gate


@pytest.mark.parametrize(
    ("values", "identifier", "message"),
    [
        ({"SECRET_PREVIOUS": "s"}, "electric.W050", "the same as SECRET"),
        ({"GATEKEEPER_KEYS": "short"}, "electric.E051", "Key 1 of GATEKEEPER_KEYS"),
        ({"AUTHORIZE": "no.such.hook"}, "electric.E052", "cannot be imported"),
        ({"AUTHORIZE": "json.dumps"}, "electric.E052", "is not async"),
    ],
)
def test_what_opens_no_door_is_told(
    values: dict[str, object], identifier: str, message: str
) -> None:
    with override_settings(ELECTRIC={"default": {"SECRET": "s", **values}}):
        (found,) = check_gate(None)
    assert found.id == identifier
    assert message in found.msg
    assert (found.hint or "").endswith(f"docs/reference/checks.md#{identifier.lower()}.")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"SECRET": "new", "SECRET_PREVIOUS": "old"},
        {"GATEKEEPER_KEYS": ["k" * 32], "AUTHORIZE": "asyncio.sleep"},
        {"TYPO": 1, "GATEKEEPER_KEYS": "short"},
    ],
)
def test_a_door_that_opens_is_fine_and_so_is_what_another_check_tells(
    values: dict[str, object],
) -> None:
    with override_settings(ELECTRIC={"default": values}):
        assert check_gate(None) == []
