"""``prebake engine``: is there an Engine, and if not, a private one."""

from __future__ import annotations

from prebake.engine import private
from prebake.engine.connection import describe, ensure_engine, find_engine
from prebake.workflow.steps import Tell


def act(action: str, tell: Tell) -> str:
    """Carry out one action; what is to be said about the Engine afterwards."""
    if action == "down":
        return "stopped" if private.down(say=tell) else "no private engine was running"
    if action == "remove":
        private.remove(say=tell)
        return "removed"
    connection = ensure_engine(tell) if action == "up" else find_engine()
    facts = describe(connection)
    return f"Docker Engine {facts.version} at {connection.host}, BuildKit {facts.buildkit}, buildx {facts.buildx}"
