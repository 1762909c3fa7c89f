"""LayerRoad over layers in memory and in Redis, and over layers that misbehave."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from django.test import override_settings

from django_electric.errors import ConfigurationError
from django_electric.wakeup import layer as layer_module
from django_electric.wakeup import road as road_module
from django_electric.wakeup.layer import LayerRoad, LocalLayer, layer_is_local, open_layer
from django_electric.wakeup.names import Directions, layer_groups
from tests.support.redis import RedisServer
from tests.wakeup.ends import Someone, Walk, until

MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer"}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture(params=["memory", "core", "pubsub"])
def configured(request: pytest.FixtureRequest) -> Iterator[str]:
    """The alias of a layer of each kind."""
    config: dict[str, object] = MEMORY
    if request.param != "memory":
        name = {"core": "core.RedisChannelLayer", "pubsub": "pubsub.RedisPubSubChannelLayer"}
        redis = request.getfixturevalue("redis")
        config = {
            "BACKEND": f"channels_redis.{name[request.param]}",
            "CONFIG": {"hosts": [redis.url]},
        }
    with override_settings(CHANNEL_LAYERS={"x": config}):
        yield "x"


@pytest.fixture
def in_memory() -> Iterator[InMemoryChannelLayer]:
    with override_settings(CHANNEL_LAYERS={"x": MEMORY}):
        yield channel_layers["x"]


@pytest.fixture
def names() -> Directions:
    return layer_groups(uuid.uuid4().hex[:12])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(road_module, "BEAT", 0.03)
    monkeypatch.setattr(layer_module, "SILENCE", 0.3)


def worker(names: Directions, life: bytes = b"state active\n") -> Walk:
    return Walk(LayerRoad("x", names.to_worker, names.to_web), Someone(b"look\n", life))


def web(names: Directions) -> Walk:
    return Walk(LayerRoad("x", names.to_web, names.to_worker), Someone(b"hello\n"))


@asynccontextmanager
async def both(names: Directions) -> AsyncIterator[tuple[Walk, Walk]]:
    """A worker, and then a web process whose greeting it has heard."""
    async with worker(names) as one:
        await until(lambda: one.road.is_connected)
        async with web(names) as other:
            await until(lambda: b"hello" in one.end.heard)
            yield one, other


async def test_lines_go_both_ways(configured: str, names: Directions) -> None:
    async with both(names) as (one, other):
        one.road.send(b"moved a b\nlsn 7\n")
        other.road.send(b"registered c\n")
        await until(lambda: b"lsn 7" in other.end.heard)
        await until(lambda: b"registered c" in one.end.heard)
        assert b"moved a b" in other.end.heard


async def test_everybody_hears_the_worker(configured: str, names: Directions) -> None:
    async with both(names) as (one, two), web(names) as three:
        await until(lambda: three.road.is_connected)
        one.road.send(b"moved a\n")
        await until(lambda: b"moved a" in two.end.heard and b"moved a" in three.end.heard)


async def test_more_than_one_message_can_carry_arrives(configured: str, names: Directions) -> None:
    lines = [b"moved " + b" ".join(b"%030d" % (n * 200 + i) for i in range(200)) for n in range(50)]
    async with both(names) as (one, other):
        one.road.send(b"\n".join(lines) + b"\n")
        await until(lambda: lines[-1] in other.end.heard)
        assert [line for line in other.end.heard if line.startswith(b"moved")] == lines


async def test_the_worker_tells_with_every_beat_how_it_is(
    configured: str, names: Directions, quick: None
) -> None:
    """And that keeps the road: neither end loses the other, and the web's end says hello only once."""
    async with both(names) as (one, other):
        await until(lambda: other.end.heard.count(b"state active") > 20)
        assert one.end.heard == [b"hello"]
        assert one.end.losses == other.end.losses == 0


async def test_who_hears_nothing_begins_anew(
    configured: str, names: Directions, quick: None
) -> None:
    async with worker(names, life=b"") as mute, web(names) as other:
        await until(lambda: other.end.losses > 1 and mute.end.heard.count(b"hello") > 1)
        async with worker(names):
            await until(lambda: b"state active" in other.end.heard)
            losses = other.end.losses
        await until(lambda: other.end.losses > losses)


@pytest.mark.usefixtures("in_memory")
async def test_members_that_the_layer_forgot_join_again(names: Directions, quick: None) -> None:
    async with both(names) as (one, other):
        open_layer("x")._groups.clear()
        before = len(other.end.heard)
        await until(lambda: len(other.end.heard) > before + 3)
        other.road.send(b"registered a\n")
        await until(lambda: b"registered a" in one.end.heard)
        assert one.end.losses == other.end.losses == 0


async def test_a_server_that_is_started_anew_and_empty(names: Directions, quick: None) -> None:
    with RedisServer() as redis:
        config = {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [redis.url]},
        }
        with override_settings(CHANNEL_LAYERS={"x": config}):
            async with both(names) as (one, other):
                redis.kill()
                await until(lambda: one.end.losses and other.end.losses, 15)
                one.road.send(b"moved a\n")
                redis.start()
                await until(lambda: b"moved a" in other.end.heard, 15)
                await until(lambda: b"look" in other.end.heard)


class Failing:
    """A layer that raises from one of its methods, and works otherwise."""

    def __init__(self, layer: LocalLayer, method: str) -> None:
        self._layer = layer
        self._method = method
        self.failures = 2

    def __getattr__(self, name: str) -> Callable[..., object]:
        async def call(*args: object) -> object:
            if name == self._method and self.failures:
                self.failures -= 1
                raise KeyError("the driver's own error")
            return await getattr(self._layer, name)(*args)

        return call


@pytest.mark.parametrize(
    "method", ["new_channel", "group_add", "receive", "group_send", "group_discard", "close_pools"]
)
@pytest.mark.usefixtures("in_memory")
async def test_whatever_a_layer_raises_breaks_the_road_and_no_more(
    names: Directions, quick: None, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    layer = Failing(open_layer("x"), method)
    one, other = worker(names), web(names)
    other.road._layer = layer  # type: ignore[attr-defined]
    async with one, other:
        await until(lambda: other.end.heard)
        if method not in ("group_discard", "close_pools"):
            assert layer.failures == 0
            assert other.end.losses == 2


@pytest.mark.usefixtures("in_memory")
async def test_a_layer_that_hangs_is_given_up(
    names: Directions, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_module, "PATIENCE", 0.1)
    monkeypatch.setattr(layer_module, "_LEAVE_SECONDS", 0.1)

    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    one, other = worker(names), web(names)
    other.road._layer = Failing(open_layer("x"), "")  # type: ignore[attr-defined]
    other.road._layer.group_add = other.road._layer.group_discard = hang  # type: ignore[attr-defined]
    async with one, other:
        await until(lambda: other.end.losses > 1)
        assert not other.road.is_connected


async def test_nothing_is_left_in_a_layer_that_was_left(
    in_memory: InMemoryChannelLayer, names: Directions
) -> None:
    async with both(names) as (one, _):
        one.road.send(b"moved a\n")
        one.road.stop()
        await until(lambda: not one.road.is_connected)
    assert not any(open_layer("x")._groups.values())
    assert in_memory.channels == {}


# -- a layer in memory -------------------------------------------------------------------------------


@pytest.fixture
def another_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Running in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.usefixtures("in_memory")
async def test_ends_in_memory_may_live_in_several_threads(
    names: Directions, another_loop: asyncio.AbstractEventLoop
) -> None:
    one = worker(names, b"")

    async def walk() -> None:
        async with one:
            await until(lambda: b"registered 999" in one.end.heard)

    walking = asyncio.run_coroutine_threadsafe(walk(), another_loop)
    await until(lambda: one.road.is_connected)
    async with web(names) as other:
        await until(lambda: other.road.is_connected)
        for n in range(1000):
            another_loop.call_soon_threadsafe(one.road.send, b"moved %d\n" % n)
            other.road.send(b"registered %d\n" % n)
            if n % 50 == 0:
                await asyncio.sleep(0.001)
        await until(lambda: b"moved 999" in other.end.heard)
        await asyncio.wrap_future(walking)
    heard = [line for line in other.end.heard if line.startswith(b"moved")]
    assert heard == [b"moved %d" % n for n in range(1000)]


async def test_a_member_that_does_not_receive_misses_what_does_not_fit() -> None:
    plain = InMemoryChannelLayer(capacity=3)
    layer = LocalLayer(plain)
    await layer.group_add("g", "c")
    for n in range(9):
        await layer.group_send("g", {"type": "t", "lines": str(n)})
    await until(lambda: "c" in plain.channels and plain.channels["c"].full())
    assert [(await layer.receive("c"))["lines"] for _ in range(3)] == ["0", "1", "2"]


def test_a_member_whose_loop_is_closed_is_forgotten() -> None:
    layer = LocalLayer(InMemoryChannelLayer())
    asyncio.run(layer.group_add("g", "c"))
    asyncio.run(layer.group_send("g", {"type": "t", "lines": ""}))
    assert layer._groups == {"g": {}}


def test_a_layer_in_memory_is_shared_and_another_is_not(configured: str) -> None:
    assert (open_layer("x") is open_layer("x")) is layer_is_local("x")


def test_a_layer_that_is_not_configured_is_named_with_the_setting() -> None:
    with (
        override_settings(CHANNEL_LAYERS={}),
        pytest.raises(ConfigurationError, match=r'no layer "x".*CHANNEL_LAYER'),
    ):
        open_layer("x")
