"""A toy that does everything wrong that a long run has to notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from prebake.docker.connection import Connection
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import change_spec, clone, reach

LEAK = """

import os
import threading

REQUESTS, LEAKED = [], []
generate = Toy.generate


def leak(self, form, cancelled):
    REQUESTS.append(None)
    number = len(REQUESTS)
    if number > FIRST:
        LEAKED.append(os.urandom(1 << 20))
        LEAKED.append(open("/dev/null"))
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    if number > FIRST and number % 5 == 0:
        raise RuntimeError("the model crashed")
    if number > FIRST and number % 4 == 0:
        return Answer(b'{"values": [1, 2, 3]}', "application/json")
    return generate(self, form, cancelled)


Toy.generate = leak
"""
FIRST = 8
"""So many requests are answered well, those of the start and of the build's check among them. After them each request leaks a
MiB, an open file and a thread; each fourth answer is wrong, and each fifth request fails."""


@pytest.fixture(scope="session")
def leaky(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    project = clone(tmp_path_factory.mktemp("leaky") / "project", "toy", variables=reach(engine))
    change_spec(project, lambda document: document["limits"].update(queue=16))  # room for all clients of a soak
    model = project.root / "images" / "toy" / "model.py"
    model.write_text(model.read_text() + LEAK.replace("FIRST", str(FIRST)))
    with image_name(engine) as tag:
        project.run("--model", "toy", "--tag", tag).expect(0)
        yield tag
