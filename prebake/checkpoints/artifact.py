"""Files of an OCI artifact: one in ModelPack's form or ORAS's, or an image of weights as ``--weights volume`` pushes it.

A layer that is a file is known by the manifest alone, and its download goes on where it stopped. What lies in a tar is known
once the tar was read. The media type of a tar does not make one: `oras push` gives it to every file whose type the user leaves
out, and names the file by a title. Such a layer is a tar only if its bytes are.

This room knows no registry: it is handed ``Artifacts``, which ``prebake/oci`` implements and ``prebake/workflow`` passes in, so
that both rooms stay free of each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import IO, Any, Protocol

from prebake.checkpoints.copying import read_blocks
from prebake.checkpoints.delivery import Errand, deliver, delivery_key, waiting
from prebake.checkpoints.partial import Partial
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, placed
from prebake.checkpoints.store import Store, Stored
from prebake.errors import SourceError
from prebake.process import Narrator, silent
from prebake.spec.sources import FromOci

_MODELS = "models/"  # where images of weights have everything
_NAMES = ("org.cncf.model.filepath", "org.opencontainers.image.title")  # ModelPack's word for a file's path, and ORAS's
_TAR = re.compile(r".*[.+]tar([.+](gzip|zstd))?")
_UNPACK = "io.deis.oras.content.unpack"  # ORAS's word for a folder that it packed, whatever the media type
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Layer = Mapping[str, Any]
"""A descriptor of a manifest, as it stands there."""


class Artifacts(Protocol):
    """Registries, by the references of what they hold. Every method raises what registries do."""

    def manifest(self, reference: str, digest: str | None = None) -> tuple[str, Mapping[str, Any]] | None:
        """The digest and document of a manifest: that of the reference, or the one of ``digest``. None: there is none."""

    def blob(self, reference: str, layer: Layer, offset: int, say: Narrator) -> Iterator[memoryview]:
        """A layer's bytes from ``offset`` on; a chunk is valid until the next. ``say`` is told what is tried again."""

    def is_tar(self, reference: str, layer: Layer, say: Narrator) -> bool:
        """Whether a layer's bytes begin as those of a tar, plain or packed, whatever its media type says."""

    def files(self, reference: str, layer: Layer, say: Narrator) -> Iterator[tuple[str, int, IO[bytes]]]:
        """The files of a tar: path, bytes, and a stream to be read before the next is asked for. Its digest is checked
        when all were."""


class Artifact:
    """``from: oci``. The locator is the digest of a layer that is a file, else the file's path in one of the tars."""

    def __init__(self, artifacts: Artifacts) -> None:
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
        """Those of layers that are files: what lies in a tar is known once it was read."""
        reference = spec.reference
        _, layers = self._layers(reference, None)
        names = [name for layer in layers if (name := _name(layer)) and self._is_file(reference, layer)]
        if not names and not any(_may_be_tar(layer) for layer in layers):
            raise _lacks(reference, [], layers)
        if not names:
            raise SourceError(
                f"{reference} has its files in tars, which are told by reading all of it.",
                next_action="name the files in an image.yaml (docs/sources.md)",
            )
        return names

    def unit(self, file: RemoteFile) -> str:
        """The files in tars are read in one go."""
        whole = f"{file.source}@{file.revision}"
        return f"{whole}/{file.locator}" if _DIGEST.fullmatch(file.locator) else whole

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[Stored]:
        if all(_DIGEST.fullmatch(file.locator) for file in unit):
            return [self._bring(file, store, progress) for file in unit]
        key = delivery_key(RemoteFile("", unit[0].source, unit[0].revision, ""))
        with store.lock(key, waiting(store, key, unit[0].origin, progress)):
            return self._unpack(unit, store, progress)

    def _bring(self, file: RemoteFile, store: Store, progress: Progress) -> Stored:
        layer = {"digest": file.locator, "size": file.size, "mediaType": ""}

        def pull(partial: Partial) -> None:
            partial.resumed = partial.done > 0
            for chunk in self._artifacts.blob(file.origin, layer, partial.done, _notes(file.path, progress)):
                partial.write(bytes(chunk))
                progress.report(file.path, partial.done, file.size)

        return deliver(Errand(file, f"{file.origin} {file.locator}", pull), store, progress)

    def _unpack(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[Stored]:
        """Upper layers first: what they hold covers what is below. Where a sha256 is not known yet, a layer is read to its
        end, so that its digest vouches for it."""
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
        """Whether the layer's bytes are those of the file that it is named for."""
        if not _may_be_tar(layer):
            return True
        packed = _name(layer).endswith(_ARCHIVES) and not _is_folder(layer)
        return packed or not self._is_tar(reference, layer)

    def _is_tar(self, reference: str, layer: Layer) -> bool:
        """Of a layer that may be one. Without a name it can be nothing else, and ORAS says of a folder that it is one."""
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
                f"{reference} does not exist at its registry{f' any more ({digest})' if digest else ''}.",
                next_action="correct `reference` in image.yaml, or push it and lock again",
            )
        layers = found[1].get("layers")
        if not isinstance(layers, list):
            raise SourceError(
                f"{reference} is an index of several images.",
                next_action="name one of them by its digest in image.yaml",
            )
        if any(not _is_descriptor(layer) for layer in layers):
            raise SourceError(
                f"{reference}: its manifest has a layer without a sha256 digest and a size, so it cannot be read.",
                next_action="push it again with a tool that keeps to OCI's form, and lock again",
            )
        return found[0], layers


def _remote(spec: FromOci, file: str, digest: str, layer: Layer | None) -> RemoteFile:
    path, source = placed(spec.to, file), f"oci:{spec.reference}"
    if layer is None:
        return RemoteFile(path, source, digest, file)
    blob = str(layer["digest"])
    return RemoteFile(path, source, digest, blob, int(layer["size"]), blob.removeprefix("sha256:"))


def _is_descriptor(layer: object) -> bool:
    """Manifests come from anybody's tools."""
    return (
        isinstance(layer, dict)
        and _DIGEST.fullmatch(str(layer.get("digest"))) is not None
        and type(layer.get("size")) is int
        and isinstance(layer.get("annotations") or {}, dict)
    )


def _name(layer: Layer) -> str:
    """The path of the file that a layer is, by its annotations; empty if they name none."""
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


def _notes(name: str, progress: Progress) -> Narrator:
    return lambda text: progress.note(name, text)


def _lacks(reference: str, missing: Sequence[str], layers: Sequence[Layer]) -> SourceError:
    """Of layers without a name, their media types tell whose they are (Ollama's, Docker Model Runner's)."""
    what = f"no file {', '.join(missing)}" if missing else "no file that has a name"
    names = [_name(layer) or f"one without a name ({layer.get('mediaType')})" for layer in layers][:20]
    return SourceError(
        f"{reference} holds {what}; its layers: {', '.join(names) or 'none'}.",
        next_action="correct `files` in image.yaml; a layer is named by the annotation org.opencontainers.image.title",
    )
