"""Files of an OCI artifact of ModelPack or ORAS, or of an image of weights as ``--weights volume`` pushes it.

A layer may be one file: then the manifest describes it, and its download continues where it stopped. Or a layer is a tar: its
files are known only after the whole tar was read. The media type does not decide this: `oras push` gives a tar's media type to
every file whose type the user leaves out, and names the file in a title annotation. Such a layer is a tar only if its bytes are.

This room does not import ``prebake/oci``, which implements ``ArtifactRegistry``; ``prebake/workflow`` passes it in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import IO, Any, Protocol

from prebake.checkpoints.download.download import Download, download_key, download_to_store, report_other_process
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, target_path
from prebake.checkpoints.store.partial_file import PartialFile
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import SourceError
from prebake.io.file_copy import read_blocks
from prebake.io.log import Log, silent
from prebake.spec.image.sources import FromOci

_MODELS = "models/"  # the folder of an image of weights
_NAMES = (
    "org.cncf.model.filepath",
    "org.opencontainers.image.title",
)  # annotations of a file's path: ModelPack's, ORAS's
_TAR = re.compile(r".*[.+]tar([.+](gzip|zstd))?")
_UNPACK = "io.deis.oras.content.unpack"  # ORAS's annotation of a packed folder, with any media type
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Layer = Mapping[str, Any]
"""A descriptor, as the manifest has it."""


class ArtifactRegistry(Protocol):
    """Artifacts at registries, by reference. Every method raises the errors of a registry."""

    def manifest(self, reference: str, digest: str | None = None) -> tuple[str, Mapping[str, Any]] | None:
        """The digest and document of the manifest of the reference, or of ``digest``; None if there is none."""

    def blob(self, reference: str, layer: Layer, offset: int, log: Log) -> Iterator[memoryview]:
        """A layer's bytes from ``offset`` on; a chunk is valid until the next one. Retries are logged to ``log``."""

    def is_tar(self, reference: str, layer: Layer, log: Log) -> bool:
        """Whether a layer's first bytes are those of a tar, plain or compressed. The media type is not read."""

    def files(self, reference: str, layer: Layer, log: Log) -> Iterator[tuple[str, int, IO[bytes]]]:
        """The files of a tar: path, size in bytes, and a stream that is valid until the next file. The digest is checked after
        the last file."""


class OciArtifact:
    """``from: oci``. The locator is the digest of a layer that is one file, else the file's path in one of the tars."""

    def __init__(self, artifacts: ArtifactRegistry) -> None:
        self._artifacts = artifacts
        self._begins_as_tar: dict[str, bool] = {}

    def resolve(self, spec: FromOci) -> list[RemoteFile]:
        digest, layers = self._layers(spec.reference, None)
        named = {name: layer for layer in layers if (name := _name(layer)) in spec.files}
        files = {name: layer for name, layer in named.items() if self._is_file(spec.reference, layer)}
        missing = [file for file in spec.files if file not in files]
        if missing and not any(_may_be_tar(layer) for layer in layers):
            raise _lacks(spec.reference, missing, layers)
        return [_remote(spec, file, digest, files.get(file)) for file in spec.files]

    def names(self, spec: FromOci) -> list[str]:
        """The names of layers that are one file. Files in a tar are known only after it was read."""
        reference = spec.reference
        _, layers = self._layers(reference, None)
        names = [name for layer in layers if (name := _name(layer)) and self._is_file(reference, layer)]
        if not names and not any(_may_be_tar(layer) for layer in layers):
            raise _lacks(reference, [], layers)
        if not names:
            raise SourceError(
                f"{reference} has its files in tars, so Prebake cannot list them without downloading everything.",
                next_action="list the files in image.yaml (docs/concepts/sources.md)",
            )
        return names

    def unit(self, file: RemoteFile) -> str:
        """All files in tars are one unit, since a tar is read once."""
        whole = f"{file.source}@{file.revision}"
        return f"{whole}/{file.locator}" if _DIGEST.fullmatch(file.locator) else whole

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[StoredObject]:
        if all(_DIGEST.fullmatch(file.locator) for file in unit):
            return [self._bring(file, store, progress) for file in unit]
        key = download_key(RemoteFile("", unit[0].source, unit[0].revision, ""))
        with store.lock(key, report_other_process(store, key, unit[0].origin, progress)):
            return self._unpack(unit, store, progress)

    def _bring(self, file: RemoteFile, store: Store, progress: Progress) -> StoredObject:
        layer = {"digest": file.locator, "size": file.size, "mediaType": ""}

        def pull(partial: PartialFile) -> None:
            partial.resumed = partial.done > 0
            for chunk in self._artifacts.blob(file.origin, layer, partial.done, _notes(file.path, progress)):
                partial.write(bytes(chunk))
                progress.report(file.path, partial.done, file.size)

        return download_to_store(Download(file, f"{file.origin} {file.locator}", pull), store, progress)

    def _unpack(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[StoredObject]:
        """Read the uppermost layers first, since their files replace those of lower layers. If a file's sha256 is not known
        yet, a layer is read to its end, so that the layer's digest verifies the file."""
        reference, wanted, found = unit[0].origin, {file.locator: file for file in unit}, {}
        _, layers = self._layers(reference, unit[0].revision)
        unknown = any(file.sha256 is None for file in unit)
        for layer in reversed([each for each in layers if _may_be_tar(each)]):
            if not wanted:
                break
            if not self._is_tar(reference, layer):
                continue
            progress.note(reference, f"reading the layer {layer['digest']}")
            for path, size, stream in self._artifacts.files(reference, layer, _notes(reference, progress)):
                file = wanted.pop(path, None) or wanted.pop(path.removeprefix(_MODELS), None)
                if file is not None:
                    chunks = _reported(stream, file.path, size, progress)
                    found[file] = store.add_stream(chunks, sha256=file.sha256, name=file.path, origin=reference)
                if not wanted and not unknown:
                    break
        if wanted:
            raise _lacks(reference, list(wanted), layers)
        return [found[file] for file in unit]

    def _is_file(self, reference: str, layer: Layer) -> bool:
        """Whether the layer's bytes are the file that its annotation names, and not a tar."""
        if not _may_be_tar(layer):
            return True
        packed = _name(layer).endswith(_ARCHIVES) and not _is_folder(layer)
        return packed or not self._is_tar(reference, layer)

    def _is_tar(self, reference: str, layer: Layer) -> bool:
        """Whether a layer with a tar's media type is a tar. A layer without a name is one, and so is a folder of ORAS."""
        if not _name(layer) or _is_folder(layer):
            return True
        digest = str(layer["digest"])
        if digest not in self._begins_as_tar:
            self._begins_as_tar[digest] = self._artifacts.is_tar(reference, layer, silent)
        return self._begins_as_tar[digest]

    def _layers(self, reference: str, digest: str | None) -> tuple[str, Sequence[Layer]]:
        found = self._artifacts.manifest(reference, digest)
        if found is None:
            raise SourceError(
                f"{reference}{f' ({digest}) no longer exists' if digest else ' does not exist'} at its registry.",
                next_action="correct `reference` in image.yaml, or push it and lock again",
            )
        layers = found[1].get("layers")
        if not isinstance(layers, list):
            raise SourceError(
                f"{reference} is an index of several images.",
                next_action="give the digest of one of them in image.yaml",
            )
        if any(not _is_descriptor(layer) for layer in layers):
            raise SourceError(
                f"{reference}: its manifest has a layer without a sha256 digest and a size, so it cannot be read.",
                next_action="push it again with a tool that follows the OCI image specification, and lock again",
            )
        return found[0], layers


def _remote(spec: FromOci, file: str, digest: str, layer: Layer | None) -> RemoteFile:
    path, source = target_path(spec.to, file), f"oci:{spec.reference}"
    if layer is None:
        return RemoteFile(path, source, digest, file)
    blob = str(layer["digest"])
    return RemoteFile(path, source, digest, blob, int(layer["size"]), blob.removeprefix("sha256:"))


def _is_descriptor(layer: object) -> bool:
    """Whether a layer has the fields that are read here. Manifests may come from any tool."""
    return (
        isinstance(layer, dict)
        and _DIGEST.fullmatch(str(layer.get("digest"))) is not None
        and type(layer.get("size")) is int
        and isinstance(layer.get("annotations") or {}, dict)
    )


def _name(layer: Layer) -> str:
    """The path of a layer's file, from its annotations; empty if they have none."""
    annotations = layer.get("annotations") or {}
    named = next((str(annotations[name]) for name in _NAMES if name in annotations), "")
    return str(PurePosixPath("/", named)).lstrip("/")


def _may_be_tar(layer: Layer) -> bool:
    return _is_folder(layer) or _TAR.fullmatch(str(layer.get("mediaType", ""))) is not None


def _is_folder(layer: Layer) -> bool:
    """Whether ORAS packed a folder."""
    return str((layer.get("annotations") or {}).get(_UNPACK, "")).lower() == "true"


def _reported(stream: IO[bytes], name: str, size: int, progress: Progress) -> Iterator[bytes]:
    done = 0
    for block in read_blocks(stream):
        done += len(block)
        progress.report(name, done, size)
        yield block


def _notes(name: str, progress: Progress) -> Log:
    return lambda text: progress.note(name, text)


def _lacks(reference: str, missing: Sequence[str], layers: Sequence[Layer]) -> SourceError:
    """The error lists media types of layers without a name: they show which tool wrote them (Ollama, Docker Model Runner)."""
    what = f"no file {', '.join(missing)}" if missing else "no file with a name"
    names = [_name(layer) or f"one without a name ({layer.get('mediaType')})" for layer in layers][:20]
    return SourceError(
        f"{reference} has {what}; its layers: {', '.join(names) or 'none'}.",
        next_action="correct `files` in image.yaml; the annotation org.opencontainers.image.title has the name of a layer",
    )
