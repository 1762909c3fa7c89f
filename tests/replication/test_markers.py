"""Markers: what the stream has passed."""

from __future__ import annotations

from django_electric.replication.markers import Markers, send_marker
from tests.replication.database import Connection


def test_a_marker_may_pass_before_anybody_expects_it() -> None:
    markers = Markers()
    markers.passed(b"early")
    assert markers.expect(b"early").is_set()
    assert not markers.expect(b"late").is_set()
    markers.forget(b"early")
    markers.forget(b"never")
    assert not markers.expect(b"early").is_set()


def test_no_two_markers_are_alike(connection: Connection) -> None:
    first, second = send_marker(connection), send_marker(connection)
    assert len(first) == len(second) == 16
    assert first != second
