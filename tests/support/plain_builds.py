"""A rendered folder built by plain `docker buildx build`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.workflow.stages.buildkit import pip_inputs

FRESH = ("export", "compile", "code", "image")


def build_plainly(
    engine: Connection, folder: Path, tag: str, base: str, fresh: tuple[str, ...] = FRESH, created: int = 0
) -> None:
    """As the Dockerfile's own first lines say, with this machine's access to packages."""
    output = f"--output=type=docker,compression=uncompressed,name={tag}"  # --tag={tag} would take its time to compress
    words = ["buildx", "build", "--builder=default", output, f"--build-arg=BASE={base}"]
    words += [f"--no-cache-filter={','.join(fresh)}"] if fresh else []
    with pip_inputs() as inputs:
        words += [f"--secret=id={name},src={path}" for name, path in inputs.secrets.items()]
        words += [f"--build-context={name}={path}" for name, path in inputs.contexts.items()]
        environment = {**engine.env, "SOURCE_DATE_EPOCH": str(created)}
        command = [str(engine.cli), *words, str(folder)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
