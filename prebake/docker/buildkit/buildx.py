"""A build by BuildKit: ``docker buildx build`` of a context folder."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from prebake.docker.buildkit.builders import (
    BuildxBuilder,
    builder_environment,
    export_layout,
    find_builder,
    local_image,
)
from prebake.docker.buildkit.progress import BuildProgress, InstructionFailure, Step
from prebake.docker.connection import Connection
from prebake.errors import BuildFailed
from prebake.io import subprocesses
from prebake.io.log import Log, log_to_stderr

_SHOWN_LINES = 30


@dataclass(frozen=True)
class BuildxRequest:
    """What to build. ``outputs`` are buildx' ``--output`` values; ``secrets`` are files by id; ``named_contexts`` are folders or
    ``docker-image://…`` by name. ``network`` is ``default`` (a bridge), ``host`` or ``none``."""

    context: Path
    target: str | None = None
    dockerfile: Path | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    named_contexts: Mapping[str, Path | str] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    network: str = "default"


@dataclass(frozen=True)
class BuildResult:
    """``digest`` is the image's by the Engine: the manifest's with the containerd image store, else the config's; empty if
    the output is not an image. ``seconds`` is the duration of the whole build."""

    digest: str
    steps: tuple[Step, ...]
    seconds: float
    log: tuple[str, ...]


def build(connection: Connection, request: BuildxRequest, *, log: Log = log_to_stderr) -> BuildResult:
    """Run a build. Raises BuildFailed with the failed instruction and its last lines.

    An interrupt ends buildx, and with it the build. An image gets its name only if the build succeeds.
    """
    progress = BuildProgress(log)
    builder = find_builder(connection)
    with tempfile.TemporaryDirectory(prefix="prebake-build-") as folder:
        metadata = Path(folder) / "metadata.json"
        request = request if builder.sees_images else _with_layouts(connection, request, Path(folder))
        begin = time.monotonic()
        code = subprocesses.stream(
            [connection.cli, *_arguments(request, builder, metadata)],
            on_stdout=progress.log.append,
            on_stderr=progress.feed,
            env=builder_environment(connection),
            check=False,
            log=log,
        )
        seconds = time.monotonic() - begin
        if code:
            raise _failed(request, progress, code)
        facts = json.loads(metadata.read_text()) if metadata.exists() else {}
    return BuildResult(
        digest=facts.get("containerimage.digest", ""),
        steps=progress.steps,
        seconds=seconds,
        log=tuple(progress.log),
    )


def _with_layouts(connection: Connection, request: BuildxRequest, folder: Path) -> BuildxRequest:
    """The request with the Engine's images among the named contexts as OCI layouts, for a builder that cannot see the
    Engine's."""
    contexts = dict(request.named_contexts)
    for number, (name, context) in enumerate(sorted(request.named_contexts.items())):
        if reference := local_image(context):
            contexts[name] = export_layout(connection, reference, folder / f"image-{number}") or context
    return replace(request, named_contexts=contexts)


def _arguments(request: BuildxRequest, builder: BuildxBuilder, metadata: Path) -> list[str]:
    """Attestations are off, since they wrap the image in an index with the time of the build."""
    words = ["buildx", "build", f"--builder={builder.name}", "--progress=rawjson", f"--metadata-file={metadata}"]
    words += ["--provenance=false", "--sbom=false", f"--network={request.network}"]
    words += [f"--target={request.target}"] if request.target else []
    words += [f"--file={request.dockerfile}"] if request.dockerfile else []
    words += ["--allow=network.host"] if request.network == "host" else []
    words += [f"--build-arg={name}={value}" for name, value in sorted(request.args.items())]
    words += [f"--secret=id={name},src={file}" for name, file in sorted(request.secrets.items())]
    words += [f"--build-context={name}={context}" for name, context in sorted(request.named_contexts.items())]
    words += [f"--output={output}" for output in request.outputs]
    return [*words, str(request.context)]


def _failed(request: BuildxRequest, progress: BuildProgress, code: int) -> BuildFailed:
    failure = progress.failure or InstructionFailure(f"buildx ended with code {code}", tuple(progress.log[-12:]), None)
    text = "\n".join(
        [f"{request.context}: {failure.instruction}", *(f"  {line}" for line in failure.output[-_SHOWN_LINES:])]
    )
    return BuildFailed(
        text,
        next_action="correct that instruction or its input, and build again: earlier steps are cached",
        instruction=failure.instruction,
        output=failure.output,
        status=failure.exit_code,
    )
