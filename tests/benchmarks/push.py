"""A first push of weights, against what docker does: ``python -m tests.benchmarks.push``; `make bench` runs it.

Random weights, new for each way and round, so that no builder has them; a registry on loopback, empty each time, whose storage
lies in memory where that has room. What a builder kept of it is pruned afterwards.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prebake.docker.connection import Connection, ensure_engine
from prebake.measure.report.report_files import write_document
from prebake.oci.blobs.content import FileContent
from prebake.oci.layers.compression import digest_content
from prebake.oci.layers.tar import TarEntry, tar_content
from tests.support.registries.registry import running_registry

FILES = 4
MEMORY = Path("/dev/shm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", action="append", choices=list(WAYS), help="only this one; may be given again")
    asked = parser.parse_args()
    connection = ensure_engine()
    ways = {name: way for name, way in WAYS.items() if name in (asked.way or WAYS)}
    found: dict[str, list[float]] = {name: [] for name in ways}
    size = int(asked.gib * 2**30)
    for number in range(asked.rounds):
        for name, way in ways.items():
            with weights(size) as folder, storage(size) as place, running_registry(place) as address:
                reference = f"{address}/bench/weights:{number}"
                began = time.perf_counter()
                way(connection, folder, reference)
                found[name].append(time.perf_counter() - began)
                forget(connection, reference)
                print(f"round {number + 1}: {name} {found[name][-1]:.1f} s", file=sys.stderr, flush=True)
    show(found, asked.gib)


def ours(_connection: Connection, folder: Path, name: str) -> None:
    words = [sys.executable, "-m", "tests.benchmarks.pushing", str(folder), name]
    peak = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    print(f"  peak memory {peak} MiB", file=sys.stderr)


def hashing(_connection: Connection, folder: Path, _name: str) -> None:
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")


def buildkit(connection: Connection, folder: Path, name: str) -> None:
    output = f"--output=type=image,push=true,name={name},compression=uncompressed,registry.insecure=true"
    docker(connection, "buildx", "build", "--builder=default", "--provenance=false", output, str(folder))


def build_and_push(connection: Connection, folder: Path, name: str) -> None:
    docker(connection, "build", f"--tag={name}", str(folder))
    docker(connection, "push", "--quiet", name)


def forget(connection: Connection, name: str) -> None:
    """The image, its layers in BuildKit's cache, and the context that was sent to it."""
    subprocess.run([str(connection.cli), "rmi", "--force", name], env=connection.env, capture_output=True, check=False)
    for what in ("model-", "local.source.for.context"):
        docker(connection, "buildx", "prune", "--builder=default", "--force", f"--filter=description~={what}")


def docker(connection: Connection, *words: str) -> None:
    ended = subprocess.run(
        [str(connection.cli), *words], env=connection.env, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(f"docker {' '.join(words)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")


Way = Callable[[Connection, Path, str], None]
WAYS: dict[str, Way] = {
    "sha256 alone": hashing,
    "Prebake": ours,
    "BuildKit, uncompressed": buildkit,
    "docker build, docker push": build_and_push,
}


@contextmanager
def weights(size: int) -> Iterator[Path]:
    """Random files and a Dockerfile that puts each in a layer; what the lock would tell of them lies beside."""
    with tempfile.TemporaryDirectory(prefix="prebake-bench-") as name:
        folder = Path(name)
        digests = {}
        for number in range(FILES):
            path = folder / f"model-{number}.safetensors"
            with path.open("wb") as file:
                for _ in range(size // FILES >> 20):
                    file.write(os.urandom(1 << 20))
            digests[path.name] = digest_content(
                tar_content([TarEntry(f"models/{path.name}", content=FileContent.of(path))])
            )
        (folder / "digests.json").write_text(json.dumps(digests))
        lines = [f"COPY --link {path} /models/" for path in sorted(digests)]
        (folder / "Dockerfile").write_text("\n".join(["FROM scratch", *lines, ""]))
        (folder / ".dockerignore").write_text("digests.json\n")
        yield folder


@contextmanager
def storage(size: int) -> Iterator[Path]:
    where = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 * size else None
    with tempfile.TemporaryDirectory(prefix="prebake-bench-", dir=where) as name:
        yield Path(name)


def show(found: dict[str, list[float]], gib: float) -> None:
    medians = {name: statistics.median(times) for name, times in found.items()}
    write_document(Path("build/bench/push.json"), {"gib": gib, "seconds": found, "medians": medians})
    print(f"{gib:g} GiB of weights to a registry on loopback, seconds, medians of {len(found['Prebake'])}")
    for name, seconds in medians.items():
        print(f"  {name:28}{seconds:7.1f}   {seconds / medians['Prebake']:5.1f} times Prebake")


if __name__ == "__main__":
    main()
