"""What whoever asks may hear of an error, and what stays in the server's log."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from django_electric.errors import ElectricError, SnapshotFailed
from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import InvalidRequest
from django_electric.protocol.subset import FailsOnRow
from django_electric.web.failures import reply_to, tellable
from django_electric.web.shapes import NotMigrated
from tests.web.conftest import Bench

LEAK = 'invalid input syntax for type integer: "the neighbour\'s secret"'
NARROWED = Access(TableName("public", "items"), "id = $1", ("1",), user="auth.User:1")
WHOLE = replace(NARROWED, where=None, params=())
ON_A_ROW = [
    SnapshotFailed(LEAK, status=400),
    SnapshotFailed(f"Unexpected error while creating snapshot: {LEAK}", status=500),
    FailsOnRow({"where": [LEAK]}),
    FailsOnRow({"subset": {"where": LEAK}}),
]


@pytest.mark.parametrize("error", ON_A_ROW, ids=repr)
def test_what_a_row_made_of_a_condition_is_for_the_log_if_there_are_rows_that_one_may_not_see(
    error: ElectricError, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    told, untold = (reply_to(tellable(error, access), bench.service) for access in (None, NARROWED))
    assert b"secret" in told.body
    assert b"secret" not in untold.body
    assert "secret" in caplog.text
    assert untold.status == told.status
    fields = [json.loads(reply.body).get("errors", {}).keys() for reply in (told, untold)]
    assert fields[0] == fields[1]


@pytest.mark.parametrize("error", ON_A_ROW, ids=repr)
def test_whoever_may_see_every_row_is_told(error: ElectricError) -> None:
    assert tellable(error, WHOLE) is error
    assert tellable(error, None) is error


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest({"where": ["At location 3: unknown reference nothing"]}),
        SnapshotFailed("Snapshot timed out while waiting for a table lock"),
        SnapshotFailed("gone", status=409),
    ],
    ids=repr,
)
def test_what_no_row_can_have_said_is_told(error: ElectricError) -> None:
    assert tellable(error, NARROWED) is error


def test_who_has_not_migrated_is_told_what_to_run(bench: Bench) -> None:
    reply = reply_to(NotMigrated(), bench.service)
    assert reply.status == 503
    assert b"manage.py migrate" in reply.body
    assert "retry-after" in reply.headers
