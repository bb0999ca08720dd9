"""From a saved change of model.py to its first answer: ``python -m tests.benchmarks.local_loop --model minilm``.

In a clone of this project: ``prebake run --watch`` runs, model.py is saved, and a client asks until an answer has the change.
For comparison, a build of the same change without timed starts, which ends with an image that has answered.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from prebake.docker.connection import Connection, ensure_engine
from prebake.measure.warmup_request import read_warmup
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Project, clone, reach

PAUSE_SECONDS = 0.01
HEADER = "x-change"
CHANGE = """

_create = create


def create(components):
    model = _create(components)
    generate = model.generate

    def marked(form, cancelled):
        answer = generate(form, cancelled)
        return answer._replace(headers={{**answer.headers, "{header}": "{number}"}})

    model.generate = marked
    return model
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    engine = ensure_engine()
    with tempfile.TemporaryDirectory(prefix="prebake-bench-") as name, image_name(engine) as tag:
        project = clone(Path(name, "project"), asked.model, variables=reach(engine))
        time_build(project, asked.model, tag, 0)
        show("prebake run --watch", list(time_changes(engine, project, asked.model, tag, asked.rounds)))
        builds = [time_build(project, asked.model, tag, number) for number in range(1, 4)]
    show("build, started once", builds)


def save_change(project: Project, model: str, number: int) -> None:
    path = project.root / "images" / model / "model.py"
    original = path.read_text().partition("\n\n_create = create\n")[0]
    path.write_text(original + CHANGE.format(header=HEADER, number=number))


def time_build(project: Project, model: str, tag: str, number: int) -> float:
    save_change(project, model, number)
    began = time.perf_counter()
    project.run("--model", model, "--tag", tag, PREBAKE_STARTS="0").expect(0)
    return time.perf_counter() - began


def time_changes(engine: Connection, project: Project, model: str, tag: str, rounds: int) -> Iterator[float]:
    """Seconds of each round; the first one, in which the client's code is new as well, is not counted."""
    request = read_warmup(EngineLauncher(engine), tag).request
    body, media_type = request.encode()
    with project.started("run", model, "--tag", tag, "--watch") as child:
        child.wait_for("administration: ")
        address = re.findall(r"ready after [\d.]+ s: (\S+)", child.stderr)[-1]
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            for number in range(100, 101 + rounds):
                save_change(project, model, number)
                began = time.perf_counter()
                while ask(client, request.path, body, media_type) != str(number):
                    time.sleep(PAUSE_SECONDS)
                if number > 100:
                    yield time.perf_counter() - began


def ask(client: httpx.Client, path: str, body: bytes, media_type: str) -> str | None:
    """The change that the answer has; None while the model starts again."""
    response = client.post(path, content=body, headers={"content-type": media_type})
    return response.headers.get(HEADER) if response.status_code == 200 else None


def show(what: str, seconds: list[float]) -> None:
    figures = f"median {statistics.median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f} s"
    print(f"{what}: {figures}, {len(seconds)} times")


if __name__ == "__main__":
    main()
