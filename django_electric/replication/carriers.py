"""The worker's end of each road by which it wakes the web processes."""

from __future__ import annotations

import selectors
from collections.abc import Callable

from django_electric.conf import ElectricSettings
from django_electric.replication.announcer import Carrier
from django_electric.replication.courier import Courier
from django_electric.replication.socket_server import SocketServer
from django_electric.wakeup import socket_path
from django_electric.wakeup.layer import LayerRoad
from django_electric.wakeup.names import layer_groups, notify_channels
from django_electric.wakeup.notify import NotifyRoad


def worker_carrier(
    settings: ElectricSettings,
    conninfo: str,
    selector: selectors.BaseSelector,
    on_message: Callable[[str, str], None],
) -> Carrier:
    """The road that the setting ``WAKEUP`` chose; *on_message* may be called in any thread."""
    if settings.wakeup == "notify":
        channels = notify_channels(settings.replication_stream_id)
        return Courier(
            lambda: NotifyRoad(conninfo, channels.to_worker, channels.to_web), on_message
        )
    if settings.wakeup == "channels":
        groups = layer_groups(settings.replication_stream_id)
        return Courier(
            lambda: LayerRoad(settings.channel_layer, groups.to_worker, groups.to_web), on_message
        )
    return SocketServer(socket_path(settings.root), selector, on_message)
