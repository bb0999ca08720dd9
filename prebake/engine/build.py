"""The door to BuildKit: one build of a context folder by ``docker buildx build``."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from prebake import process
from prebake.engine.builders import BuildxBuilder, as_layout, builder_environment, find_builder, local_image
from prebake.engine.connection import Connection
from prebake.engine.progress import Failure, Progress, Step
from prebake.errors import BuildFailed
from prebake.process import Narrator, narrate

_TAIL = 30


@dataclass(frozen=True)
class BuildRequest:
    """What to build. ``secrets`` are files by id; ``named_contexts`` folders or ``docker-image://…`` by name.

    ``outputs`` are buildx' ``--output`` values; without any the image goes into the Engine, as ``tag``. ``network``
    is ``default`` (a bridge), ``host`` or ``none``. ``platform`` is such as ``linux/amd64``.
    """

    context: Path
    tag: str | None = None
    target: str | None = None
    dockerfile: Path | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    named_contexts: Mapping[str, Path | str] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    network: str = "default"
    platform: str | None = None
    no_cache: bool = False


@dataclass(frozen=True)
class BuildResult:
    """``digest`` is the image's as the Engine names it (its manifest's, with the containerd store; else its
    config's); empty where the output is no image. ``seconds`` are wall clock, of the whole build."""

    digest: str
    config_digest: str
    steps: tuple[Step, ...]
    seconds: float
    log: tuple[str, ...]


def build(connection: Connection, request: BuildRequest, *, say: Narrator = narrate) -> BuildResult:
    """Build. Raises BuildFailed with the failing instruction and the last lines that it printed.

    An interrupt ends buildx and with it the build; a tag is set only by a build that ended well.
    """
    progress = Progress(say)
    builder = find_builder(connection)
    with tempfile.TemporaryDirectory(prefix="prebake-build-") as folder:
        metadata = Path(folder) / "metadata.json"
        request = request if builder.sees_images else _handed_over(connection, request, Path(folder))
        begin = time.monotonic()
        code = process.stream(
            [connection.cli, *_arguments(request, builder, metadata)],
            on_stdout=progress.log.append,
            on_stderr=progress.feed,
            env=builder_environment(connection),
            check=False,
            say=say,
        )
        seconds = time.monotonic() - begin
        if code:
            raise _failed(request, progress, code)
        facts = json.loads(metadata.read_text()) if metadata.exists() else {}
    return BuildResult(
        digest=facts.get("containerimage.digest", ""),
        config_digest=facts.get("containerimage.config.digest", ""),
        steps=progress.steps,
        seconds=seconds,
        log=tuple(progress.log),
    )


def _handed_over(connection: Connection, request: BuildRequest, folder: Path) -> BuildRequest:
    """With the Engine's images among the named contexts as OCI layouts, for a builder that sees none of the Engine's."""
    contexts = dict(request.named_contexts)
    for number, (name, place) in enumerate(sorted(request.named_contexts.items())):
        if reference := local_image(place):
            contexts[name] = as_layout(connection, reference, folder / f"image-{number}") or place
    return replace(request, named_contexts=contexts)


def _arguments(request: BuildRequest, builder: BuildxBuilder, metadata: Path) -> list[str]:
    """Attestations are off: they wrap the image in an index that holds the time of the build."""
    words = ["buildx", "build", f"--builder={builder.name}", "--progress=rawjson", f"--metadata-file={metadata}"]
    words += ["--provenance=false", "--sbom=false", f"--network={request.network}"]
    words += [f"--tag={request.tag}"] if request.tag else []
    words += [f"--target={request.target}"] if request.target else []
    words += [f"--file={request.dockerfile}"] if request.dockerfile else []
    words += [f"--platform={request.platform}"] if request.platform else []
    words += ["--allow=network.host"] if request.network == "host" else []
    words += ["--no-cache"] if request.no_cache else []
    words += [f"--build-arg={name}={value}" for name, value in sorted(request.args.items())]
    words += [f"--label={name}={value}" for name, value in sorted(request.labels.items())]
    words += [f"--secret=id={name},src={file}" for name, file in sorted(request.secrets.items())]
    words += [f"--build-context={name}={place}" for name, place in sorted(request.named_contexts.items())]
    words += [f"--output={output}" for output in request.outputs]
    return [*words, str(request.context)]


def _failed(request: BuildRequest, progress: Progress, code: int) -> BuildFailed:
    failure = progress.failure or Failure(f"buildx ended with code {code}", tuple(progress.log[-12:]), None)
    text = "\n".join([f"{request.context}: {failure.instruction}", *(f"  {line}" for line in failure.output[-_TAIL:])])
    return BuildFailed(
        text,
        next_action="mend that instruction, or what it reads, and build again: earlier steps are cached",
        instruction=failure.instruction,
        output=failure.output,
        status=failure.exit_code,
    )
