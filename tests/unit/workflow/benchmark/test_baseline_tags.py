"""Which baselines stay in the Engine. Its names are a set here; tests/e2e/engine/test_baseline_tags.py has a real one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from prebake.errors import EngineError
from prebake.io.log import silent
from prebake.workflow.benchmark import baseline_tags
from prebake.workflow.benchmark.baseline_tags import BASELINES, MOST_KEPT, keep_baselines, remove_old_baselines

ENGINE = Connection("unix:///nowhere", Path("docker"))
TAGS = tuple(f"{BASELINES}:{number}" for number in range(MOST_KEPT + 3))


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The Engine's names. Those of every test here, and one that no record tells of."""
    found = {*TAGS, f"{BASELINES}:of-another-cache"}
    monkeypatch.setenv("PREBAKE_CACHE", str(tmp_path))
    monkeypatch.setattr(baseline_tags, "list_tags", lambda *_: frozenset(found))
    monkeypatch.setattr(baseline_tags, "remove_tag", lambda _, name: found.discard(name))
    return found


def gate(tags: Sequence[str], connection: Connection = ENGINE) -> None:
    """Gates with these baselines, one after another."""
    for tag in tags:
        with keep_baselines(connection, silent) as keep:
            keep(tag)


def test_the_baselines_that_were_used_last_stay(names: set[str]) -> None:
    gate([*TAGS[:MOST_KEPT], TAGS[0]])
    assert names >= set(TAGS)
    gate(TAGS[MOST_KEPT:])
    assert names == {TAGS[0], *TAGS[4:], f"{BASELINES}:of-another-cache"}
    gate([TAGS[4]])  # it is there, so nothing is built
    assert names >= {TAGS[0], *TAGS[4:]}


def test_a_baseline_that_the_user_removed_takes_no_place(names: set[str]) -> None:
    gate(TAGS[:MOST_KEPT])
    names -= set(TAGS[3:MOST_KEPT])
    gate(TAGS[MOST_KEPT:])
    assert names >= {*TAGS[:3], *TAGS[MOST_KEPT:]}


def test_the_baseline_of_a_running_gate_stays(names: set[str]) -> None:
    with keep_baselines(ENGINE, silent) as keep:
        keep(TAGS[0])
        gate(TAGS[1:])
        assert TAGS[0] in names
        assert TAGS[1] not in names
    assert TAGS[0] not in names


def test_none_is_removed_while_a_gate_gets_its_baseline(names: set[str]) -> None:
    """It may have found a baseline that it did not name yet."""
    gate(TAGS[:MOST_KEPT])
    with keep_baselines(ENGINE, silent) as keep:
        gate(TAGS[MOST_KEPT:])
        assert names >= set(TAGS)
        keep(TAGS[0])
        remove_old_baselines(ENGINE, silent)
        assert names >= {TAGS[0], *TAGS[4:]}
        assert TAGS[1] not in names


def test_a_gate_waits_while_baselines_are_removed(names: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    gate(TAGS[:1])
    listing, listed = threading.Event(), threading.Event()

    def slow(*_: object) -> frozenset[str]:
        listing.set()
        listed.wait(60)
        return frozenset(names)

    monkeypatch.setattr(baseline_tags, "list_tags", slow)
    removing = threading.Thread(target=remove_old_baselines, args=(ENGINE, silent))
    removing.start()
    assert listing.wait(60)
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        listed.set()

    with keep_baselines(ENGINE, tell) as keep:
        keep(TAGS[1])
    removing.join()
    assert lines == ["waiting for another process: it removes old baselines"]


def test_a_gate_that_fails_removes_old_ones_too(names: set[str]) -> None:
    def fail() -> None:
        with keep_baselines(ENGINE, silent) as keep:
            keep(TAGS[MOST_KEPT])
            raise ValueError("broken")

    gate(TAGS[:MOST_KEPT])
    with pytest.raises(ValueError, match="broken"):
        fail()
    assert names & set(TAGS[: MOST_KEPT + 1]) == set(TAGS[1 : MOST_KEPT + 1])


def test_each_engine_has_its_own_baselines(names: set[str]) -> None:
    gate(TAGS[:MOST_KEPT])
    gate(TAGS[MOST_KEPT:], Connection("unix:///elsewhere", Path("docker")))
    assert names >= set(TAGS)


def test_an_engine_that_refuses_loses_nothing(names: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Connection, name: str) -> None:
        raise EngineError(f"The Engine does not remove {name}", next_action="")

    lines: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(baseline_tags, "remove_tag", refuse)
        gate(TAGS)
        remove_old_baselines(ENGINE, lines.append)
    assert lines == [f"baseline: {tag} is kept: The Engine does not remove {tag}" for tag in TAGS[2::-1]]
    remove_old_baselines(ENGINE, silent)
    assert names == {*TAGS[3:], f"{BASELINES}:of-another-cache"}
