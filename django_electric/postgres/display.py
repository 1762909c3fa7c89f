"""How Postgres shows values: snapshots, subsets and the stream all ask for the same (PROTOCOL section 4.8)."""

from __future__ import annotations

from typing import Final

_SETTINGS: Final = (
    "bytea_output = 'hex'",
    "DateStyle = 'ISO, DMY'",
    "TimeZone = 'UTC'",
    "extra_float_digits = 1",
    "IntervalStyle = 'iso_8601'",
)
DISPLAY_SETTINGS: Final = "; ".join(f"SET {setting}" for setting in _SETTINGS)
"""For a session of our own."""
LOCAL_DISPLAY_SETTINGS: Final = "; ".join(f"SET LOCAL {setting}" for setting in _SETTINGS)
"""For one transaction of a session that others use too."""
FUNCTION_DISPLAY_SETTINGS: Final = " ".join(f"SET {setting}" for setting in _SETTINGS)
"""For what a function does, as clauses of its definition."""
