"""Some loads and unloads of a model in a container, and what the long run has to notice."""

from __future__ import annotations

import pytest

from prebake.docker.connection import Connection
from prebake.io.log import silent
from prebake.measure.warmup_request import read_warmup
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.residency import TOKEN, list_growth, load_again_and_again, start
from tests.long.resources import ContainerTarget, Resources
from tests.support.commands.projects import Built


def test_a_sound_container_stays_as_it_was(engine: Connection, toy: Built) -> None:
    warmup = read_warmup(EngineLauncher(engine), toy.tag)
    with start(engine, toy.tag, PREBAKE_ADMIN_TOKEN=TOKEN) as container:
        outcome = load_again_and_again(ContainerTarget(container), warmup, "toy", 2, silent)
    # Tests assert no durations: a load of this tiny model is mostly the start of an interpreter.
    assert [finding for finding in outcome.findings if "a load takes" not in finding] == []
    assert "| after 10 loads | " in "\n".join(outcome.lines)


@pytest.mark.parametrize("name", ["anonymous", "files", "threads", "processes"])
def test_what_grows_is_named(name: str) -> None:
    before = Resources(pss=1 << 30, anonymous=1 << 26, files=10, threads=5, processes=2)
    after = Resources(**{**vars(before), name: getattr(before, name) + (9 << 20)})
    (found,) = list_growth(before, after)
    assert name in found
    assert list_growth(after, before) == []
