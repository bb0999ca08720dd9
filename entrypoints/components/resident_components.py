"""Components whose weights do not fit into the memory budget together: each is opened for the run that needs it, and stays until
another one needs its room. The one that was not used for the longest time is closed first. Imported only with such a budget.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.components.budgets import Budget
from entrypoints.contract import Session
from entrypoints.processes.events import ComponentEvicted, ComponentReloaded
from entrypoints.processes.timeline import Timeline
from entrypoints.runtime.arena import empty_torch_cache, give_back_memory
from entrypoints.suggestion import suggest

if TYPE_CHECKING:
    import numpy as np

Open = Callable[[str, bool], Session]
"""Opens the component of that name. True: it was open before."""


class ComponentState:
    """The state of one component. Only `ResidentComponents` changes it, under its lock."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.opening = False
        self.was_open = False
        self.runs = 0
        """Runs that use the session at the moment."""
        self.last_used = 0


class ResidentComponents:
    """The `Components` that the model gets. Its methods may be called from any thread."""

    def __init__(
        self,
        names: Collection[str],
        budgets: Collection[Budget],
        open_component: Open,
        find_path: Callable[[str], Path],
        timeline: Timeline,
        pinned: Collection[str] = (),
    ) -> None:
        """``pinned`` components stay open. ``find_path``: as ``Components.path``."""
        self._budgets = budgets
        self._open = open_component
        self._timeline = timeline
        self._pinned = pinned
        self._states = {name: ComponentState() for name in names}
        self._sessions = {name: ResidentSession(self, name) for name in names}
        self._changed = threading.Condition()
        self._uses = 0
        self.path = find_path
        self._error: BaseException | None = None

    def session(self, name: str) -> Session:
        """Opens nothing: its runs do. Raises KeyError."""
        if name not in self._sessions:
            raise KeyError(f"the manifest has no component {name!r}{suggest(name, list(self._sessions))}")
        return self._sessions[name]

    @contextmanager
    def hold(self, name: str) -> Iterator[Session]:
        """The open session, which is not closed within the block. Waits until there is room; raises what opening it raises."""
        session = self._take(name)
        try:
            yield session
        finally:
            with self._changed:
                self._states[name].runs -= 1
                self._changed.notify_all()

    def open_ahead(self) -> None:
        """In the order of the manifest, as far as there is room. A run opens what it needs meanwhile."""
        for name, state in self._states.items():
            with self._changed:
                if state.session is not None or state.opening or self._find_victims(name) != []:
                    continue
                state.opening = True
            try:
                self._fill(name, runs=0)
            except BaseException:  # ``find_error`` has it; the run that needs the component raises it
                return

    def wait_until_open(self) -> None:
        """Open each component that the warm-up request did not use, so that one that cannot be opened fails the start. Raises the
        exception of opening one."""
        for name, state in self._states.items():
            if not state.was_open:
                with self.hold(name):
                    pass

    def find_error(self) -> BaseException | None:
        """The exception of the first component that failed to open; None if none has failed by now."""
        return self._error

    def _take(self, name: str) -> Session:
        state = self._states[name]
        with self._changed:
            while True:
                if state.session is not None:
                    self._note_use(state)
                    return state.session
                victims = None if state.opening else self._find_victims(name)
                if victims is not None:
                    break
                self._changed.wait()
            state.opening = True
            closed = [self._close(victim) for victim in victims]
        if closed:
            del closed  # outside of the lock: it may take a while
            give_back_memory()
            empty_torch_cache()
        return self._fill(name, runs=1)

    def _fill(self, name: str, runs: int) -> Session:
        """Open the component, whose room is kept for it."""
        state, again, began = self._states[name], self._states[name].was_open, time.perf_counter()
        try:
            session = self._open(name, again)
        except BaseException as error:
            self._error = self._error or error
            with self._changed:
                state.opening = False
                self._changed.notify_all()
            raise
        with self._changed:
            state.session, state.opening, state.was_open = session, False, True
            for _ in range(runs):
                self._note_use(state)
            self._changed.notify_all()
        if again:
            self._timeline.apply(ComponentReloaded(name, time.perf_counter() - began))
        return session

    def _note_use(self, state: ComponentState) -> None:
        self._uses += 1
        state.runs += 1
        state.last_used = self._uses

    def _find_victims(self, name: str) -> list[str] | None:
        """The components to close so that this one fits; None if runs use too much at the moment."""
        staying = {other for other, state in self._states.items() if state.session is not None or state.opening}
        idle = [other for other in staying if self._may_close(other)]
        victims = []
        for victim in sorted(idle, key=lambda other: self._states[other].last_used):
            if all(budget.holds({*staying, name}) for budget in self._budgets):
                break
            if any(budget.shares_room(victim, name) for budget in self._budgets):
                staying.remove(victim)
                victims.append(victim)
        return victims if all(budget.holds({*staying, name}) for budget in self._budgets) else None

    def _may_close(self, name: str) -> bool:
        state = self._states[name]
        return state.session is not None and not state.runs and name not in self._pinned

    def _close(self, name: str) -> Session | None:
        session, self._states[name].session = self._states[name].session, None
        self._timeline.apply(ComponentEvicted(name))
        return session


class ResidentSession:
    """A component for the model: each run opens it if it is closed. A model may keep this object."""

    def __init__(self, components: ResidentComponents, name: str) -> None:
        self._components = components
        self._name = name

    @property
    def limits(self) -> tuple[Mapping[str, int], ...]:
        """As of the open session (``entrypoints.contract.find_limits``)."""
        with self._components.hold(self._name) as session:
            return getattr(session, "limits", ())

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self._components.hold(self._name) as session:
            return dict(session.run(inputs))
