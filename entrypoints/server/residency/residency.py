"""Loads and unloads models, by their processes: an operator asks for it, a request needs a model, or the policy of the container
(``PREBAKE_IDLE_SECONDS``, the memory budgets) wants its room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from entrypoints.errors import Fault
from entrypoints.processes.log import log_event, log_fault
from entrypoints.response import HTTPException, error_response
from entrypoints.server.generate import reject_unloaded
from entrypoints.server.receiving import Disconnected
from entrypoints.server.residency.manners import BEGUN, VERIFIED, WHOLE
from entrypoints.server.residency.model_processes import END_SECONDS, Started, start_model
from entrypoints.server.served_model import ServedModel
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from entrypoints.server.residency.room import Room

UNLOADED_REASON = "the model was unloaded"
OPERATOR, IDLE, ROOM = "operator", "idle", "room"
"""Why a model was unloaded, as the metric has it."""
POLL_SECONDS = 0.02
"""Between two looks whether a busy model can be unloaded."""
SHORTEST_IDLE_CHECK, LONGEST_IDLE_CHECK = 0.05, 5.0
"""Seconds between two looks for models that nobody asks."""
MOST_ENDS, ENDS_WINDOW = 5, 600.0
"""A model whose process has ended by itself more often within these seconds is not started again."""
LONGEST_PAUSE = 30.0


class Residency:
    """Its methods run in the event loop; those about one model wait for one another."""

    def __init__(self, models: Sequence[ServedModel], settings: Settings) -> None:
        self._models = models
        self._settings = settings
        self._locks: dict[str, asyncio.Lock] = {model.name: asyncio.Lock() for model in models}
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._revivals: set[asyncio.Task[None]] = set()
        self._ends: dict[str, list[float]] = {model.name: [] for model in models}
        """When the process of a model has ended by itself, by ``time.monotonic``."""
        self._room_lock = asyncio.Lock()
        self._room: Room | None = None
        if settings.host_memory or settings.device_memory:
            from entrypoints.server.residency.room import Room

            self._room = Room(models, settings)

    async def unload(self, model: ServedModel) -> None:
        """For an operator: no request loads the model again. New requests are refused at once, those that were accepted are
        answered. Does nothing if the model is unloaded. Raises HTTPException (503) if the model has not started."""
        async with self._locks[model.name]:
            self._require_started(model)
            model.on_demand = False
            if model.availability == "unloaded":
                return
            model.availability = "unloading"
            cut_off = await model.generate.drain(self._settings.grace_period, UNLOADED_REASON)
            await self._end(model, OPERATOR, cut_off)

    async def load(self, model: ServedModel) -> None:
        """For an operator. Does nothing if the model is loaded. Raises HTTPException: 503 if it has not started or the server
        stops, 500 with the reason if it cannot be loaded; it stays unloaded then."""
        async with self._locks[model.name]:
            self._require_started(model)
            await self._begin(model, WHOLE if model.never_loaded else VERIFIED)
            model.on_demand = True

    async def require(self, model: ServedModel, deadline: float, disconnected: asyncio.Future[None]) -> None:
        """For a request: returns once the model is loaded. Requests that come meanwhile share the load.

        Raises Disconnected, and HTTPException: 503 if no request may load it, 504 after the deadline (by the loop's clock), 500
        if it cannot be loaded.
        """
        model.usage.waiting += 1
        try:
            await self._wait_until_loaded(model, deadline, disconnected)
        finally:
            model.usage.waiting -= 1

    async def _wait_until_loaded(self, model: ServedModel, deadline: float, disconnected: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        while model.availability != "loaded":
            load = self._find_load(model)
            await asyncio.wait(
                {load, disconnected}, timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED
            )
            if load.done():
                load.result()
            elif disconnected.done():
                raise Disconnected
            elif loop.time() >= deadline:
                message = f"The model {model.label} was still being loaded when the request's time was over."
                raise HTTPException(error_response(504, message, headers={"retry-after": "1"}))

    def watch_idle(self) -> None:
        """Unload models that nobody asks for ``PREBAKE_IDLE_SECONDS``, from now on."""
        seconds = min(LONGEST_IDLE_CHECK, max(SHORTEST_IDLE_CHECK, self._settings.idle_seconds / 10))
        self._idle_watch = asyncio.ensure_future(self._unload_idle(seconds))

    def revive(self, model: ServedModel, fault: Fault) -> None:
        """Start a model again whose process has ended by itself, while the other models answer on. If it ends again and again,
        or cannot be started again and again, the fault is the server's."""
        now = time.monotonic()
        ends = self._ends[model.name] = [end for end in self._ends[model.name] if now - end < ENDS_WINDOW] + [now]
        if model.status.state != "ready":
            return  # the server stops
        if len(ends) > MOST_ENDS:
            model.status.fail(fault, log_fault)
            return
        model.availability, model.ended_by = "restarting", fault.reason
        pause = 0.0 if len(ends) == 1 else min(LONGEST_PAUSE, 2.0 ** (len(ends) - 2))
        log_event("model ended", level="error", model=model.label, reason=fault.reason, restart_in=pause)
        task = asyncio.ensure_future(self._revive(model, fault, pause))
        self._revivals.add(task)
        task.add_done_callback(self._revivals.discard)

    async def _revive(self, model: ServedModel, fault: Fault, pause: float) -> None:
        await asyncio.sleep(pause)
        async with self._locks[model.name]:
            if model.availability != "restarting" or model.status.state != "ready":
                return
            try:
                await self._begin(model, WHOLE)  # a damaged file may be the cause
            except HTTPException as error:
                log_event("not restarted", level="error", model=model.label, reason=error.response.body.decode())
                self.revive(model, fault)  # the cause may pass; a restart that fails counts as an end

    def _find_load(self, model: ServedModel) -> asyncio.Task[None]:
        load = self._loads.get(model.name)
        if load is None:
            load = self._loads[model.name] = asyncio.ensure_future(self._load_for_requests(model))
            load.add_done_callback(lambda done: self._forget_load(model, done))
        return load

    def _forget_load(self, model: ServedModel, load: asyncio.Task[None]) -> None:
        del self._loads[model.name]
        if not load.cancelled():
            load.exception()  # the requests that waited have raised it; they may have left by now

    async def _load_for_requests(self, model: ServedModel) -> None:
        async with self._locks[model.name]:
            if not model.on_demand or model.availability == "restarting":
                raise HTTPException(reject_unloaded(model))
            await self._begin(model, WHOLE if model.never_loaded else BEGUN)

    async def _begin(self, model: ServedModel, manner: str) -> None:
        """The lock of the model is held. ``manner``: of ``entrypoints.server.residency.manners``."""
        if model.availability == "loaded":
            return
        before, model.availability = model.availability, "loading"
        begun = time.monotonic()
        try:
            await self._make_room(model)
            started = await start_model(model, self._settings, manner)
        except BaseException:
            if self._room is not None:
                self._room.release(model)
            model.availability = "unloaded" if before != "restarting" else before
            raise
        self._install(model, started)
        seconds = time.monotonic() - begun
        model.usage.loads.observe(seconds)
        log_event("loaded", model=model.label, seconds=round(seconds, 3))

    def _install(self, model: ServedModel, started: Started) -> None:
        model.availability, model.ended_by = "loaded", ""
        model.usage.last_used = asyncio.get_running_loop().time()
        model.adopt(started.link, started.timeline)
        if self._room is not None:
            self._room.note_loaded(model)

    async def _end(self, model: ServedModel, reason: str, cut_off: int = 0) -> None:
        """The lock of the model is held, and nothing is in flight."""
        model.availability = "unloading"
        model.link.retire()
        await asyncio.to_thread(model.link.wait_until_ended, END_SECONDS)
        model.availability = "unloaded"
        if self._room is not None:
            self._room.release(model)
        model.usage.evictions[reason] += 1
        log_event("unloaded", model=model.label, reason=reason, cut_off=cut_off)

    async def _make_room(self, model: ServedModel) -> None:
        """Unload what was not asked for the longest time, until the model fits into the budgets. A model at work answers first
        what its process has got; later requests for it wait, or a model that is always asked would keep the others out."""
        if self._room is None:
            return
        async with self._room_lock:
            while (victims := self._room.find_victims(model)) != []:
                for victim in victims or ():
                    await self._unload_unused(victim, ROOM)
                if victims is None and (busy := self._room.find_busy_victim(model)) is not None:
                    await self._unload_busy(busy)
                elif victims is None:
                    await asyncio.sleep(POLL_SECONDS)
            self._room.take(model)

    async def _unload_unused(self, model: ServedModel, reason: str) -> None:
        async with self._locks[model.name]:
            if model.is_unused:
                await self._end(model, reason)

    async def _unload_busy(self, model: ServedModel) -> None:
        async with self._locks[model.name]:
            if model.is_loaded:
                model.availability = "unloading"
                await model.generate.wait_until_answered()
                await self._end(model, ROOM)

    async def _unload_idle(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            now = asyncio.get_running_loop().time()
            for model in self._models:
                if model.status.state == "starting":
                    model.usage.last_used = now
                idle = now - model.usage.last_used >= self._settings.idle_seconds
                if idle and model.is_unused and model.name not in self._settings.pin:
                    await self._unload_unused(model, IDLE)

    @staticmethod
    def _require_started(model: ServedModel) -> None:
        if model.status.state != "ready":
            reason = f"The model {model.label} is {model.status.state}: {model.status.reason}."
            raise HTTPException(error_response(503, reason))
