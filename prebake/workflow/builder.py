"""What is left to BuildKit: stages that install packages and compile code, without a weight in their context."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from prebake.bake.errors import read_error
from prebake.disk import disk_full
from prebake.engine.build import BuildRequest, BuildResult, build
from prebake.engine.builders import find_builder
from prebake.engine.connection import Connection
from prebake.errors import BuildFailed
from prebake.oci.content import Data, FilePart
from prebake.oci.tar import Entry
from prebake.workflow.packages import pip_inputs
from prebake.workflow.steps import Tell

_FULL = "no space left on device"


@dataclass(frozen=True)
class Builder:
    """One context on one base image. ``scratch`` lends a folder for a while; ``results`` collects what was built, for
    the report."""

    connection: Connection
    context: Path
    base: str
    scratch: Callable[[], AbstractContextManager[Path]]
    tell: Tell
    results: list[BuildResult] = field(default_factory=list)

    def image(
        self,
        stage: str | None,
        tag: str,
        dockerfile: str = "Dockerfile",
        contexts: Mapping[str, Path | str] | None = None,
    ) -> BuildResult:
        """A stage (the last one for None) as an image of the Engine; nothing is packed for a way this short. ``contexts`` are
        named ones, beside the wheels'."""
        return self._build(f"type=docker,compression=uncompressed,name={tag}", stage, dockerfile, contexts or {})

    @contextmanager
    def tree(self, stage: str) -> Iterator[list[Entry]]:
        """A stage's files as entries of a layer, as long as the block lasts."""
        with self.scratch() as folder:
            archive = folder / "tree.tar"
            try:
                self._build(f"type=tar,dest={archive}", stage, "Dockerfile", {})
            except BuildFailed as failed:  # it is buildx that writes there, and its words that tell
                if str(archive) in str(failed) and _FULL in str(failed):
                    raise disk_full(folder) from failed
                raise
            yield _entries(archive)

    def _build(
        self, output: str, stage: str | None, dockerfile: str, contexts: Mapping[str, Path | str]
    ) -> BuildResult:
        with pip_inputs() as inputs:
            request = BuildRequest(
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
                result = build(self.connection, request, say=self.tell)
            except BuildFailed as failed:
                raise read_error(failed.output, failed.status) or failed from failed
        self.results.append(result)
        return result

    def _base_context(self) -> Mapping[str, str]:
        """The base in the place of the stage of that name, if the builder does not see the Engine's images."""
        return {} if find_builder(self.connection).sees_images else {"base": f"docker-image://{self.base}"}


def _entries(archive: Path) -> list[Entry]:
    """Of BuildKit's tar only names, kinds, contents and who may run a file are taken; owners and times are a layer's own."""
    with tarfile.open(archive) as tree:
        members = {_plain(member.name): member for member in tree}
    return [entry for name, member in members.items() if name and (entry := _entry(name, member, members, archive))]


def _entry(name: str, member: tarfile.TarInfo, members: dict[str, tarfile.TarInfo], archive: Path) -> Entry | None:
    if member.isdir():
        return Entry(name, "folder")
    if member.issym():
        return Entry(name, "link", target=member.linkname)
    origin = members[_plain(member.linkname)] if member.islnk() else member
    if not origin.isreg():
        return None
    content = FilePart(archive, origin.offset_data, origin.size) if origin.size else Data(b"")
    return Entry(name, content=content, executable=bool(origin.mode & 0o111))


def _plain(name: str) -> str:
    path = str(PurePosixPath(name.lstrip("/")))
    return "" if path == "." else path
