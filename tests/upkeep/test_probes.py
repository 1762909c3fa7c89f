"""Probes: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from django_electric.upkeep import probes
from django_electric.upkeep.facts import Facts
from django_electric.upkeep.findings import Finding
from django_electric.upkeep.probes import MUCH_WAL, findings
from tests.upkeep.world import BEAT, FINE, FRESH, PUBLICATION, SERVER, SLOT, TABLE, without_worker


def ids(facts: Facts) -> list[str]:
    return [finding.id for finding in findings(facts)]


def only(facts: Facts) -> Finding:
    (finding,) = findings(facts)
    return finding


def with_server(**known: object) -> Facts:
    return replace(FINE, server=replace(SERVER, **known))


def with_slot(**known: object) -> Facts:
    return replace(FINE, slot=replace(SLOT, **known))


def with_table(**known: object) -> Facts:
    return replace(FINE, tables=(TABLE, replace(TABLE, oid=1, table="others", **known)))


# --- When nothing is wrong ------------------------------------------------------------------------


def test_an_installation_that_works_has_no_findings() -> None:
    assert findings(FINE) == []


def test_a_database_that_was_never_migrated_lacks_nothing() -> None:
    assert findings(FRESH) == []


def test_a_project_that_was_migrated_and_not_started_yet_lacks_nothing() -> None:
    facts = replace(FRESH, server=SERVER, tables=(replace(TABLE, is_published=False, shapes=0),))
    assert findings(facts) == []


# --- The server -----------------------------------------------------------------------------------


def test_a_database_that_cannot_be_asked_is_all_that_is_said() -> None:
    facts = Facts("default", "default", False, FRESH.storage, unreachable="connection refused")
    assert only(facts).id == "electric.W020"
    assert "connection refused" in only(facts).text


@pytest.mark.parametrize("facts", [FINE, FRESH])
def test_another_wal_level_is_an_error_on_a_fresh_database_too(facts: Facts) -> None:
    finding = only(replace(facts, server=replace(SERVER, wal_level="replica")))
    assert (finding.id, finding.severity) == ("electric.W021", "error")
    assert "ALTER SYSTEM SET wal_level" in finding.remedy


def test_an_old_postgres_is_an_error() -> None:
    assert "13 is too old" in only(with_server(version=130012)).text


def test_a_role_that_may_not_replicate_is_told_how_it_may() -> None:
    facts = replace(FRESH, server=replace(SERVER, role="web", may_replicate=False))
    assert only(facts).id == "electric.W022"
    assert 'ALTER ROLE "web" REPLICATION' in only(facts).remedy


def test_a_role_of_web_processes_may_lack_what_the_workers_role_has() -> None:
    assert findings(with_server(may_replicate=False)) == []


@pytest.mark.parametrize(
    ("known", "setting"),
    [({"slots": 10}, "max_replication_slots"), ({"senders": 10}, "max_wal_senders")],
)
def test_a_worker_that_would_find_no_room_is_announced(known: dict[str, int], setting: str) -> None:
    facts = replace(FRESH, server=replace(SERVER, **known))
    assert only(facts).id == "electric.W023"
    assert setting in only(facts).text
    assert findings(with_server(**known)) == []


def test_a_worker_whose_slot_is_there_needs_no_other_one() -> None:
    facts = without_worker(with_server(slots=10))
    assert ids(facts) == ["electric.W031"]


# --- The slot -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "severity"), [("lost", "error"), ("unreserved", "warning")])
def test_a_slot_that_loses_wal_is_reported(status: str, severity: str) -> None:
    finding = only(with_slot(status=status))
    assert (finding.id, finding.severity) == ("electric.W024", severity)


def test_a_slot_that_nobody_reads_is_reported_when_it_keeps_much_wal() -> None:
    facts = without_worker(with_slot(retained=MUCH_WAL))
    assert ids(facts) == ["electric.W031", "electric.W025"]
    assert "1.0 GiB" in findings(facts)[1].text
    assert "electric_cleanup" in findings(facts)[1].remedy
    assert findings(with_slot(retained=MUCH_WAL)) == []


def test_a_worker_that_is_far_behind_is_reported() -> None:
    finding = only(with_slot(behind=3 * MUCH_WAL))
    assert (finding.id, finding.severity) == ("electric.W034", "warning")
    assert "3.0 GiB of WAL behind" in finding.text


def test_wal_without_a_limit_is_a_note() -> None:
    finding = only(with_server(keep_size_mb=-1))
    assert (finding.id, finding.severity) == ("electric.I026", "note")


# --- The publication ------------------------------------------------------------------------------


def test_a_publication_that_leaves_operations_out_is_an_error() -> None:
    facts = replace(FINE, publication=replace(PUBLICATION, publishes_all=False))
    assert only(facts).id == "electric.W027"
    assert "ALTER PUBLICATION electric_publication_default SET" in only(facts).remedy


def test_who_publishes_by_hand_is_told_to_make_the_publication() -> None:
    facts = replace(FINE, publication=None, manual_publishing=True)
    assert "CREATE PUBLICATION electric_publication_default" in only(facts).remedy
    assert "Start the worker anew" in only(replace(FINE, publication=None)).remedy


@pytest.mark.parametrize("known", [{"shapes": 3}, {"shapes": 0, "readers": 1}])
def test_shapes_of_a_table_that_is_not_streamed_are_an_error(known: dict[str, int]) -> None:
    finding = only(with_table(is_published=False, **known))
    assert (finding.id, finding.severity) == ("electric.W028", "error")
    assert '"public"."others"' in finding.text
    assert '"items"' not in finding.text
    assert 'ADD TABLE "public"."others"' in finding.remedy


@pytest.mark.parametrize(("by_hand", "severity"), [(True, "warning"), (False, "note")])
def test_a_model_with_shapes_whose_table_is_not_streamed_is_reported(
    by_hand: bool, severity: str
) -> None:
    facts = with_table(is_published=False, shapes=0, is_registered=True)
    finding = only(replace(facts, manual_publishing=by_hand))
    assert (finding.id, finding.severity) == ("electric.W028", severity)
    assert "manage.py electric_publish" in finding.remedy


def test_a_table_without_full_identity_is_a_warning_that_names_the_statement() -> None:
    finding = only(with_table(has_full_identity=False))
    assert (finding.id, finding.severity) == ("electric.W029", "warning")
    assert 'ALTER TABLE "public"."others" REPLICA IDENTITY FULL;' in finding.remedy


def test_shapes_of_a_table_that_is_gone_are_named() -> None:
    finding = only(with_table(exists=False, is_published=False, has_full_identity=False))
    assert finding.id == "electric.W030"


def test_a_sentence_names_no_more_tables_than_can_be_read() -> None:
    many = tuple(replace(TABLE, oid=n, table=f"t{n}", has_full_identity=False) for n in range(12))
    text = only(replace(FINE, tables=many)).text
    assert '"t4" and 7 more' in text
    assert '"t5"' not in text


# --- The worker -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "said"), [(600.0, "last heard of 10 min ago"), (None, "has never run here")]
)
def test_a_worker_that_is_missed_is_an_error(age: float | None, said: str) -> None:
    finding = only(without_worker(FINE, age))
    assert (finding.id, finding.severity) == ("electric.W031", "error")
    assert said in finding.text


def test_a_worker_that_was_stopped_is_missed_at_once() -> None:
    facts = without_worker(FINE, 1.0)
    stopped = replace(
        facts, storage=replace(facts.storage, heartbeat=replace(BEAT, is_stopped=True))
    )
    assert findings(facts) == []
    assert "when it was stopped" in only(stopped).text


def test_a_worker_that_writes_elsewhere_means_that_storage_is_not_shared() -> None:
    away = replace(without_worker(FINE), slot=SLOT)
    finding = only(away)
    assert (finding.id, finding.severity) == ("electric.W032", "error")
    assert "/logs" in finding.text


def test_migrations_that_are_not_applied_are_an_error() -> None:
    finding = only(replace(FINE, pending_migrations=("django_electric.0002_x",)))
    assert finding.id == "electric.W033"
    assert "django_electric.0002_x" in finding.text


def test_the_gravest_come_first() -> None:
    facts = replace(with_server(keep_size_mb=-1), pending_migrations=("a.0001_b",))
    assert [finding.severity for finding in findings(facts)] == ["error", "note"]


def test_every_probe_says_in_its_docstring_which_finding_it_makes() -> None:
    for probe in probes.PROBES:
        assert (probe.__doc__ or "").startswith("electric."), probe.__name__
