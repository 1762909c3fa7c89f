"""LayerRoad: lines as messages of a channel layer, for projects that run one.

Each end is a channel in a group of its own. A layer forgets members and drops messages when it
likes, and tells nobody. So each end joins its group again with every beat, the worker says with every
beat how it is, to the web processes and to itself, and an end that hears nothing begins anew.
"""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import Any, Final

from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer, channel_layers

from django_electric.errors import ConfigurationError
from django_electric.wakeup.lines import payloads
from django_electric.wakeup.road import PATIENCE, Road, RoadBroken, heed_cancellation

logger = logging.getLogger("django_electric.wakeup")

SILENCE: Final = 3.0
"""Seconds without a word after which nobody is thought to be at the other end.

Shorter than the 5 s after which redis-py 8 takes a quiet server for a dead one.
"""
_LEAVE_SECONDS: Final = 1.0
_PAYLOAD_BYTES: Final = 1 << 16
_TYPE: Final = "electric.wakeup"


class LayerRoad(Road):
    """A member of the group *hears*, speaks to the group *speaks*, over the channel layer *alias*."""

    def __init__(self, alias: str, hears: str, speaks: str) -> None:
        super().__init__()
        self._layer = open_layer(alias)
        self._hears = hears
        self._speaks = speaks

    async def converse(self) -> None:
        # A layer may raise what it likes: the errors of its driver, which we need not know.
        try:
            async with asyncio.timeout(PATIENCE):
                channel = await self._layer.new_channel("electric")
                await self._layer.group_add(self._hears, channel)
        except Exception as error:
            raise _broken(error) from error
        self.connected()
        self.send(self.end.first_words())
        talking = asyncio.create_task(self._talk(channel))
        try:
            await self._listen(channel, talking)
        except Exception as error:
            raise _broken(error) from error
        finally:
            await _cancel(talking)
            await self._leave(channel)

    async def _listen(self, channel: str, talking: asyncio.Task[None]) -> None:
        """Until nothing is heard any more, or *talking* ends."""
        while True:
            heed_cancellation()
            receiving = asyncio.create_task(self._layer.receive(channel))
            try:
                await asyncio.wait(
                    {receiving, talking}, timeout=SILENCE, return_when=asyncio.FIRST_COMPLETED
                )
                if talking.done():
                    talking.result()
                    return
                if not receiving.done():
                    return
                self.heard(receiving.result()["lines"])
            finally:
                await _cancel(receiving)

    async def _talk(self, channel: str) -> None:
        while not self.is_over:
            async with asyncio.timeout(PATIENCE):
                if self.is_beat_due():
                    await self._beat(channel)
                for text in payloads(self.outbox.take(), _PAYLOAD_BYTES):
                    await self._say(self._speaks, text)
            if not self.is_over:
                await self.stir()

    async def _beat(self, channel: str) -> None:
        await self._layer.group_add(self._hears, channel)
        life = self.end.sign_of_life()
        if life:
            self.send(life)
            await self._say(self._hears, "")

    async def _say(self, group: str, text: str) -> None:
        await self._layer.group_send(group, {"type": _TYPE, "lines": text})

    async def _leave(self, channel: str) -> None:
        """As far as the layer lets us: it forgets a member that is gone by itself."""
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._layer.group_discard(self._hears, channel)
                # Connections on which nothing comes may be dead; where there are none, nothing is closed.
                close = getattr(self._layer, "close_pools", None)
                if close is not None:
                    await close()
        except Exception as error:
            logger.debug("the channel layer could not be left: %r", error)


class LocalLayer:
    """An in-memory layer whose members live in several event loops of this process.

    A queue of asyncio may only be touched in its own loop, so a message is put into each member's
    queue there.
    """

    def __init__(self, layer: InMemoryChannelLayer) -> None:
        self._layer = layer
        self._groups: dict[str, dict[str, asyncio.AbstractEventLoop]] = {}
        self.new_channel = layer.new_channel
        self.receive = layer.receive

    async def group_add(self, group: str, channel: str) -> None:
        self._groups.setdefault(group, {})[channel] = asyncio.get_running_loop()

    async def group_discard(self, group: str, channel: str) -> None:
        self._groups.get(group, {}).pop(channel, None)

    async def group_send(self, group: str, message: dict[str, str]) -> None:
        members = self._groups.get(group, {})
        for channel, loop in list(members.items()):
            putting = self._put(channel, message)
            try:
                asyncio.run_coroutine_threadsafe(putting, loop)
            except RuntimeError:  # the loop is closed
                putting.close()
                members.pop(channel, None)

    async def _put(self, channel: str, message: dict[str, str]) -> None:
        try:
            await self._layer.send(channel, message)
        except ChannelFull:
            pass  # a member that does not receive misses hints


def open_layer(alias: str) -> Any:
    """The channel layer *alias* for one road. Raises ConfigurationError if there is none.

    Others than those in memory are made for this road alone: those of channels_redis receive in one
    event loop only.
    """
    if layer_is_local(alias):
        return _local(channel_layers[alias])
    return channel_layers.make_backend(alias)


def layer_is_local(alias: str) -> bool:
    """Whether the channel layer *alias* reaches nobody outside its process. Raises ConfigurationError."""
    if alias not in channel_layers:
        raise ConfigurationError(
            f'CHANNEL_LAYERS has no layer "{alias}", which the setting CHANNEL_LAYER'
            " (ELECTRIC_CHANNEL_LAYER) names."
        )
    return isinstance(channel_layers[alias], InMemoryChannelLayer)


@cache
def _local(layer: InMemoryChannelLayer) -> LocalLayer:
    return LocalLayer(layer)


def _broken(error: Exception) -> RoadBroken:
    return RoadBroken(f"{type(error).__name__}: {error}")


async def _cancel(task: asyncio.Task[Any]) -> None:
    """End *task*, which may have to be told twice (`heed_cancellation`); its error is of no interest."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_LEAVE_SECONDS)
    if not task.cancelled():
        task.exception()
