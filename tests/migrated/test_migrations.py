"""Migrations rotate exactly the shapes that select or filter on what they change, in commit order.

Worker and web run as the role of least privilege, on tables that only migrations publish.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from django_electric.postgres import publishing
from tests.migrated.least_server import LeastServer
from tests.support.followers import Follower, Followers
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.postgres,
    pytest.mark.xdist_group("migrated"),
]
# Name → columns and condition of a shape of the notes.
SHAPES: Mapping[str, Mapping[str, str]] = {
    "all": {},
    "texts": {"columns": "id,text"},
    "kinds": {"columns": "id,text", "where": "kind = 1"},
    "sorted": {"columns": "id", "where": "text > 'm'"},
}
EVERY = set(SHAPES)
# What is migrated to, and who is rotated. The last ones go backwards and forwards over several migrations.
STEPS = (
    ("0002", {"all"}),
    ("0003", set()),
    ("0004", {"all"}),
    ("0005", {"all", "kinds"}),
    ("0006", {"all"}),
    ("0007", {"sorted"}),
    ("0004", {"all", "kinds", "sorted"}),
    ("0007", {"all", "kinds", "sorted"}),
)


@pytest.fixture
def notes(least: LeastServer, followers: Followers) -> Iterator[dict[str, Follower]]:
    """Followers of all shapes of the notes; the migrations are where they begin."""
    # The table may have been made anew.
    least.sql(f"GRANT SELECT ON migrated_note TO {least.role}")
    least.sql("INSERT INTO migrated_note (kind, text, spare) SELECT i % 3, 'n' || i, i FROM generate_series(1, 10) i")  # fmt: skip
    followers.make_marks()
    found = follow(followers, "migrated_note")
    yield found
    followers.check()
    followers.stop(*found.values())  # many rotations in a row are more than a request puts up with
    least.migrate_to("0001")
    least.sql("TRUNCATE migrated_note")


def follow(followers: Followers, table: str) -> dict[str, Follower]:
    found = {name: followers.follow(table=table, **query) for name, query in SHAPES.items()}
    followers.settle()
    return found


def test_a_migration_rotates_who_selects_or_filters_on_what_it_changes_and_nobody_else(
    least: LeastServer, followers: Followers, notes: dict[str, Follower]
) -> None:
    """Without a single write to the table: whoever sees what comes after the migration has heard of it."""
    notes["reading"] = followers.follow(
        table="migrated_other", where="id IN (SELECT id FROM migrated_note WHERE kind = 1)"
    )
    followers.settle()
    for step, of_notes in STEPS:
        # A subquery minds what happens to the columns that it selects and filters by, as a shape does.
        rotated = of_notes | ({"reading"} if "kinds" in of_notes else set())
        before = {name: follower.handle for name, follower in notes.items()}
        for name, follower in notes.items():
            follower.may_refetch = name in rotated
        least.migrate_to(step)
        followers.settle()
        changed = {name for name, follower in notes.items() if follower.handle != before[name]}
        assert changed == rotated, step
        if "surplus" in notes["all"].columns:
            least.sql("INSERT INTO migrated_note (kind, text, surplus) VALUES (1, 'new', 2)")
        followers.settle()


def test_a_table_that_is_renamed_unpublished_or_dropped_ends_its_shapes(
    least: LeastServer, followers: Followers, notes: dict[str, Follower]
) -> None:
    other = followers.follow(table="migrated_other")
    followers.settle()
    followers.stop(*notes.values())
    before = {follower.handle for follower in notes.values()}
    assert before <= least.handles()
    least.migrate_to("0008")
    eventually(lambda: not before & least.handles(), "the shapes of the renamed table go", seconds=5)  # fmt: skip

    memos = follow(followers, "migrated_memo")
    before = {follower.handle for follower in memos.values()}
    for follower in memos.values():
        follower.may_refetch = True
    least.migrate_to("0009")
    least.sql("INSERT INTO migrated_memo (kind, text, surplus) VALUES (1, 'republished', 1)")
    followers.settle()
    assert not before & {follower.handle for follower in memos.values()}

    followers.stop(*memos.values())
    before = {follower.handle for follower in memos.values()}
    least.migrate_to("0010")
    eventually(lambda: not before & least.handles(), "the shapes of the dropped table go", seconds=5)  # fmt: skip
    followers.settle()
    assert other.refetches == 0


def test_what_is_done_by_hand_is_seen_soon_and_told_at_once_by_event_triggers(
    least: LeastServer, followers: Followers
) -> None:
    """Without a write to the table, again."""
    name = f"electric_publication_{least.stream_id}"
    least.sql(
        "CREATE TABLE by_hand (id int PRIMARY KEY, a int, b int)",
        f"GRANT SELECT ON by_hand TO {least.role}",
        "CREATE TABLE not_by_hand (id int PRIMARY KEY)",
        f"GRANT SELECT ON not_by_hand TO {least.role}",
        publishing.publish(name, "by_hand"),
        publishing.publish(name, "not_by_hand"),
    )
    followers.make_marks()
    reading = followers.follow(
        table="not_by_hand", where="id IN (SELECT id FROM by_hand WHERE a = 1)"
    )
    other = followers.follow(table="not_by_hand")
    every = followers.follow(may_refetch=True, table="by_hand")
    chosen = followers.follow(table="by_hand", columns="id,a")
    followers.settle()
    least.sql("ALTER TABLE by_hand ADD COLUMN c int")
    eventually(lambda: every.fault or every.refetches, "the worker has looked", seconds=20)
    followers.settle()
    before = every.handle
    least.manage("electric_publish", "--event-triggers")
    try:
        least.sql("ALTER TABLE by_hand DROP COLUMN b")
        followers.settle()
        assert every.handle != before
        before, reading.may_refetch, chosen.may_refetch = reading.handle, True, True
        least.sql("ALTER TABLE by_hand ALTER COLUMN a TYPE bigint")
        followers.settle()
        assert reading.handle != before
        followers.stop(every, chosen, reading)
        handles = {every.handle, chosen.handle, reading.handle}
        least.sql("DROP TABLE by_hand")
        eventually(lambda: not handles & least.handles(), "all go", seconds=5)
        assert other.refetches == 0
    finally:
        least.manage("electric_publish", "--no-event-triggers")
