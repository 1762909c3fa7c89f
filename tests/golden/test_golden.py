"""The golden cases: request and reply pairs that the original passes (PROTOCOL).

Each profile is one server process with an environment of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest

from tests.golden.replay import SECRET, Player

HERE = Path(__file__).parent
FILES = (HERE.parent / "data" / "golden.jsonl", HERE / "more.jsonl")
"""Cases that the original was seen to pass, and cases of our own for what those leave out."""
CASES = [json.loads(line) for file in FILES for line in file.read_text().splitlines()]

_OPEN = {"ELECTRIC_INSECURE": "true", "ELECTRIC_ENABLE_INTEGRATION_TESTING": "true"}
PROFILES = {
    "default": _OPEN,
    "secure": {"ELECTRIC_SECRET": SECRET},
    "nodelete": {"ELECTRIC_INSECURE": "true"},
    "fastpoll": {**_OPEN, "ELECTRIC_LONG_POLL_TIMEOUT": "2000"},
    "tinychunk": {**_OPEN, "ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD": "10"},
    "admission2": {**_OPEN, "ELECTRIC_MAX_CONCURRENT_REQUESTS": '{"initial":2,"existing":2}'},
    "manual": {**_OPEN, "ELECTRIC_MANUAL_TABLE_PUBLISHING": "true"},
    "styled": _OPEN,
}
# The fixture names a server's stream, and so its publication, after the server's database.
_CREATE_PUBLICATION = (
    "DO $$ BEGIN EXECUTE format('CREATE PUBLICATION %I', 'electric_publication_' || current_database());"
    " END $$"
)
_STYLES = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres_verbose",
    "TimeZone": "Asia/Tokyo",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
    "xmlbinary": "hex",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
}
"""Whatever a database is set to, a client must not notice (PROTOCOL section 4.8). Django itself needs ISO dates."""
_ALTER_DATABASE = (
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {} = ''{}''', current_database()); END $$"
)
BEFORE_START = {
    "manual": (_CREATE_PUBLICATION,),
    "styled": tuple(_ALTER_DATABASE.format(*style) for style in _STYLES.items()),
}

NOT_YET: dict[str, str] = {}
"""Cases that fail because their feature is not there; each of them must fail."""


class Server(Protocol):
    """What the fixture ``electric_server`` returns."""

    url: str
    database_url: str
    stream_id: str


def _parameters() -> list[Any]:
    return [
        pytest.param(
            case,
            id=case["id"],
            marks=[
                pytest.mark.xdist_group(f"golden-{case['profile']}"),
                *([pytest.mark.slow] if case.get("slow") else []),
                *(
                    [pytest.mark.xfail(reason=NOT_YET[case["id"]], strict=True)]
                    if case["id"] in NOT_YET
                    else []
                ),
            ],
        )
        for case in CASES
    ]


@cache
def _server_version(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        return connection.info.server_version


@pytest.mark.parametrize("case", _parameters())
def test_golden_case(
    case: dict[str, Any], electric_server: Callable[[dict[str, str]], Server]
) -> None:
    """The server answers as the case says."""
    profile = case["profile"]
    server = electric_server(PROFILES[profile], before_start=BEFORE_START.get(profile, ()))
    if "pg<18" in (case.get("requires") or ()) and _server_version(server.database_url) >= 180000:
        pytest.skip("Postgres 18 replicates generated columns")
    names = {"secret": SECRET, "publication": f"electric_publication_{server.stream_id}"}
    player = Player(case, server.url, server.database_url, names)
    try:
        player.play()
    finally:
        player.close()


def test_what_is_not_built_yet_names_existing_cases() -> None:
    assert NOT_YET.keys() <= {case["id"] for case in CASES}


def test_every_case_that_is_answered_otherwise_stands_in_the_docs() -> None:
    """And no case stands there that is answered as the original answers it."""
    page = HERE.parents[1] / "docs" / "reference" / "differences-from-electric.md"
    if not page.is_file():
        pytest.skip("there are no docs here to look at")
    names = [row.split("|")[1] for row in page.read_text().splitlines() if row.startswith("| ")]
    documented = set(re.findall(r"\b[A-Z]{1,2}[0-9]{2}[a-z]?\b", " ".join(names)))
    otherwise = {case["id"] for case in CASES if case.get("strictness") in ("beyond", "ours")}
    assert documented == otherwise | NOT_YET.keys()
