"""Names that both sides derive from the stream."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from channels.layers import BaseChannelLayer

from django_electric.wakeup import socket_path
from django_electric.wakeup.names import layer_groups, notify_channels

STREAMS = ["default", "a$b", "a_b", "_" * 40, "$".join("x" * 20)]


@pytest.mark.parametrize("stream", STREAMS)
def test_a_channel_of_postgres_is_an_identifier_that_is_not_cut(stream: str) -> None:
    assert all(len(name.encode()) <= 63 for name in notify_channels(stream))


@pytest.mark.parametrize("stream", STREAMS)
def test_a_group_has_a_name_that_every_channel_layer_takes(stream: str) -> None:
    assert all(BaseChannelLayer().require_valid_group_name(name) for name in layer_groups(stream))


@pytest.mark.parametrize("names_of", [notify_channels, layer_groups])
def test_no_two_streams_or_directions_share_a_name(names_of: object) -> None:
    names = [name for stream in STREAMS for name in names_of(stream)]  # type: ignore[operator]
    assert len(set(names)) == 2 * len(STREAMS)


def test_the_socket_lies_beside_the_logs() -> None:
    assert socket_path(Path("/data/default")) == Path("/data/default/worker.sock")


def test_where_that_path_is_too_long_it_lies_in_the_temporary_folder(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    path = socket_path(long)
    assert path == socket_path(long)
    assert path != socket_path(tmp_path / ("x" * 121))
    assert long not in path.parents


def test_every_path_that_is_given_can_be_bound(tmp_path: Path) -> None:
    for length in range(60, 130):
        root = Path("/") / ("é" * (length // 2))
        path = socket_path(root)
        probe = tmp_path / "probe"
        assert len(bytes(path)) <= 104, probe
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(tmp_path)))
