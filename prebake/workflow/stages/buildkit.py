"""Build stages with BuildKit: those that install packages and compile code. Their context holds no weights."""

from __future__ import annotations

import shlex
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from prebake.bake.errors import from_document
from prebake.docker.buildkit.builders import find_builder
from prebake.docker.buildkit.buildx import BuildResult, BuildxRequest, build
from prebake.docker.buildkit.package_index import PipAccess, pip_access
from prebake.docker.connection import Connection
from prebake.documents.stage_error import StageError
from prebake.errors import BuildFailed
from prebake.io.disk_space import full_disk_error
from prebake.io.log import Log
from prebake.oci.blobs.content import BytesContent, FileSlice
from prebake.oci.layers.tar import TarEntry

_FULL = "no space left on device"


@dataclass(frozen=True)
class Builder:
    """Builds from one context on one base image. ``scratch`` gives a temporary folder; ``results`` collects the builds for
    the report."""

    connection: Connection
    context: Path
    base: str
    scratch: Callable[[], AbstractContextManager[Path]]
    log: Log
    results: list[BuildResult] = field(default_factory=list)

    def image(
        self,
        stage: str | None,
        tag: str,
        dockerfile: str = "Dockerfile",
        contexts: Mapping[str, Path | str] | None = None,
    ) -> BuildResult:
        """Build a stage (None: the last one) as an image of the Engine, uncompressed since it stays there. ``contexts`` are
        named contexts in addition to that of the wheels."""
        return self._build(f"type=docker,compression=uncompressed,name={tag}", stage, dockerfile, contexts or {})

    @contextmanager
    def tree(self, stage: str) -> Iterator[list[TarEntry]]:
        """A stage's files as entries of a layer, valid as long as the block."""
        with self.scratch() as folder:
            archive = folder / "tree.tar"
            try:
                self._build(f"type=tar,dest={archive}", stage, "Dockerfile", {})
            except BuildFailed as failed:  # buildx writes the archive, and only its message has the reason of a failure
                if str(archive) in str(failed) and _FULL in str(failed):
                    raise full_disk_error(folder) from failed
                raise
            yield _entries(archive)

    def _build(
        self, output: str, stage: str | None, dockerfile: str, contexts: Mapping[str, Path | str]
    ) -> BuildResult:
        with pip_inputs() as inputs:
            request = BuildxRequest(
                self.context,
                target=stage,
                dockerfile=self.context / dockerfile,
                outputs=(output,),
                args={"BASE": self.base, "SOURCE_DATE_EPOCH": "0"},
                secrets=inputs.secrets,
                network=inputs.network,
                named_contexts={**inputs.contexts, **contexts, **self._base_context()},
            )
            try:
                result = build(self.connection, request, log=self.log)
            except BuildFailed as failed:
                raise from_document(StageError.find_in_log(failed.output), failed.status) or failed from failed
        self.results.append(result)
        return result

    def _base_context(self) -> Mapping[str, str]:
        """Replace the stage ``base`` by the base image, if the builder does not see the Engine's images."""
        return {} if find_builder(self.connection).sees_images else {"base": f"docker-image://{self.base}"}


def _entries(archive: Path) -> list[TarEntry]:
    """Names, kinds, contents and the executable bit of BuildKit's tar. Owners and times are those of Prebake's layers."""
    with tarfile.open(archive) as tree:
        members = {_plain(member.name): member for member in tree}
    return [entry for name, member in members.items() if name and (entry := _entry(name, member, members, archive))]


def _entry(name: str, member: tarfile.TarInfo, members: dict[str, tarfile.TarInfo], archive: Path) -> TarEntry | None:
    if member.isdir():
        return TarEntry(name, "folder")
    if member.issym():
        return TarEntry(name, "link", target=member.linkname)
    origin = members[_plain(member.linkname)] if member.islnk() else member
    if not origin.isreg():
        return None
    content = FileSlice(archive, origin.offset_data, origin.size) if origin.size else BytesContent(b"")
    return TarEntry(name, content=content, executable=bool(origin.mode & 0o111))


def _plain(name: str) -> str:
    path = str(PurePosixPath(name.lstrip("/")))
    return "" if path == "." else path


@dataclass(frozen=True)
class PipInputs:
    """``secrets`` are files by id, ``contexts`` folders by name. ``network`` is ``host`` if an index or a proxy listens on
    this machine's loopback."""

    secrets: Mapping[str, Path] = field(default_factory=dict)
    contexts: Mapping[str, Path] = field(default_factory=dict)
    network: str = "default"


@contextmanager
def pip_inputs(access: PipAccess | None = None) -> Iterator[PipInputs]:
    """pip's settings as inputs of a build. The files written for it exist as long as the block."""
    access = access or pip_access()
    with tempfile.TemporaryDirectory(prefix="prebake-pip-") as folder:
        files = {"ca": access.ca, "netrc": access.netrc, "client": access.client_cert}
        secrets = {name: path for name, path in files.items() if path}
        texts = {"pip": pip_configuration(access.options), "proxy": proxy_variables(access.proxies)}
        for name, text in texts.items():
            if text:
                secrets[name] = Path(folder, name)
                secrets[name].touch(mode=0o600)
                secrets[name].write_text(text, encoding="utf-8")
        contexts = {"wheels": access.wheelhouse} if access.wheelhouse else {}
        yield PipInputs(secrets, contexts, "host" if access.on_loopback else "default")


def pip_configuration(options: Mapping[str, str]) -> str:
    """pip's options as the ``[global]`` section of a pip.conf; empty without any."""
    lines = [f"{name} = {value}" for name, value in sorted(options.items())]
    return "\n".join(["[global]", *lines, ""]) if lines else ""


def proxy_variables(proxies: Mapping[str, str]) -> str:
    """Shell lines that set the proxy variables in lower and upper case; empty without any."""
    both = ((variable, value) for name, value in sorted(proxies.items()) for variable in (name, name.upper()))
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in both)
