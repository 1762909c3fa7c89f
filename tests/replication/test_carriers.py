"""The setting WAKEUP chooses the worker's end of the road."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from typing import cast

import pytest
from django.test import override_settings

from django_electric.conf import ElectricSettings
from django_electric.replication.carriers import worker_carrier
from django_electric.replication.courier import Courier
from django_electric.replication.socket_server import SocketServer
from django_electric.wakeup.layer import LayerRoad
from django_electric.wakeup.notify import NotifyRoad
from django_electric.web.roads import SocketRoad, web_road


@pytest.mark.parametrize(
    ("wakeup", "carrier", "road"),
    [
        ("socket", SocketServer, SocketRoad),
        ("notify", Courier, NotifyRoad),
        ("channels", Courier, LayerRoad),
    ],
)
def test_both_sides_take_the_same_road_in_opposite_directions(
    settings_of: Callable[..., ElectricSettings], wakeup: str, carrier: type, road: type
) -> None:
    settings = settings_of(wakeup=wakeup, channel_layer="x")
    layers = {"x": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    with override_settings(CHANNEL_LAYERS=layers), selectors.DefaultSelector() as selector:
        worker = worker_carrier(settings, "dbname=x", selector, lambda verb, rest: None)
        web = web_road(settings)
        assert type(worker) is carrier
        assert type(web) is road
        if wakeup == "socket":
            assert cast(SocketServer, worker)._path == cast(SocketRoad, web)._path
        else:
            back = cast(Courier, worker)._make_road()
            assert type(back) is road
            assert isinstance(web, NotifyRoad | LayerRoad)
            assert isinstance(back, NotifyRoad | LayerRoad)
            assert (back._hears, back._speaks) == (web._speaks, web._hears)
