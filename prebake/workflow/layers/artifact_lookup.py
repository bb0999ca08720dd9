"""Find compiled artifacts: in the store, where every byte is verified, and at registries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from prebake.documents.artifact import ARTIFACT_FILE, ArtifactFile
from prebake.errors import ChecksumMismatch
from prebake.io.log import Log
from prebake.oci.blobs.blobs import Descriptor
from prebake.oci.errors import RegistryDenied, RegistryError, RegistryUnreachable
from prebake.oci.layers.layer_reader import UNPACK_ERRORS, read_files
from prebake.oci.records.layer_records import FileRecord, LayerRecord
from prebake.oci.records.registry_artifacts import SharedArtifact
from prebake.oci.records.registry_artifacts import find_artifacts as find_shared
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import remote_blob
from prebake.plan.artifact_layers import lookup_key
from prebake.plan.values import Plan
from prebake.workflow.layers.layer_store import LayerStore

_BLOCK = 1 << 20


@dataclass(frozen=True)
class FoundArtifact:
    """``layer`` is the record of its layer at a registry, if the store does not have its bytes."""

    artifact: ArtifactFile
    layer: LayerRecord | None = None


@dataclass(frozen=True)
class ArtifactFinder:
    """``drop_damaged``: remove damaged objects from the store, so that they are made or fetched again. ``download``: fetch
    bytes from a registry, since an image of several models needs them under another path."""

    layers: LayerStore
    log: Log
    drop_damaged: bool = True
    download: bool = False

    def all(self, plan: Plan) -> Iterator[tuple[str, list[FoundArtifact]]]:
        """The artifacts of each model, by its name."""
        return ((model.name, self.find(lookup_key(model))) for model in plan.models)

    def find(self, lookup: str) -> list[FoundArtifact]:
        """The artifacts listed under a key. A damaged one is logged, and taken from the next place that has it whole."""
        found = {shared.artifact.key: shared for shared in self._shared(lookup)}
        for key, files in self.layers.cache.records.listed(lookup).items():
            if (artifact := self._stored(key, files)) is not None:
                found[key] = FoundArtifact(artifact)
        return [found[key] for key in sorted(found)]

    def _stored(self, key: str, files: Sequence[FileRecord]) -> ArtifactFile | None:
        """None if a byte of it is missing or changed."""
        store = self.layers.store
        for file in files:
            if store.get(file.sha256, file.size) is None:
                if (path := store.get(file.sha256)) is not None:
                    self._drop(key, file, f"has {path.stat().st_size} bytes, not {file.size}")
                return None
            if (damage := store.damage(file.sha256)) is not None:
                self._drop(key, file, f"has the sha256 {damage.found}, not {file.sha256}")
                return None
        description = next((file for file in files if file.path == ARTIFACT_FILE), None)
        if description is None:
            self.log(f"artifact: the store's {key[:12]} is not used: it has no {ARTIFACT_FILE}")
            return None
        return read_artifact(store.place(description.sha256).read_bytes(), key, self.log)

    def _drop(self, key: str, file: FileRecord, what: str) -> None:
        self.log(f"artifact: the store's {key[:12]} is damaged and not used: {file.path} {what}")
        if self.drop_damaged:
            self.layers.store.drop(file.sha256)

    def _shared(self, lookup: str) -> list[FoundArtifact]:
        return [found for repository in self.layers.cache.readable for found in self._at(repository, lookup)]

    def _at(self, repository: Repository, lookup: str) -> list[FoundArtifact]:
        """Artifacts that cannot be read are left out: the image starts slower without them, and is correct. Raises
        RegistryUnreachable for a repository that the build pushes to."""
        found = []
        try:
            for shared in find_shared(repository, lookup):
                artifact = read_artifact(shared.description, None, self.log)
                if artifact and self.download:
                    self._download(artifact, repository, shared)
                found += [FoundArtifact(artifact, None if self.download else shared.layer)] if artifact else []
        except (ChecksumMismatch, RegistryError, RegistryDenied, *UNPACK_ERRORS) as error:
            self.log(f"artifact: some artifacts of {repository.reference.name} cannot be read: {error}")
        except RegistryUnreachable as error:
            self.layers.cache.leave_out(repository, error)
        return found

    def _download(self, artifact: ArtifactFile, repository: Repository, shared: SharedArtifact) -> None:
        """Fetch every file into the store. Raises ChecksumMismatch for a file that is not as described."""
        descriptor = Descriptor(shared.layer.media_type, shared.layer.digest, shared.layer.size)
        wanted = {f"models/{path}": str(file["sha256"]) for path, file in artifact.files.items()}
        for path, _, stream in read_files(remote_blob(repository, descriptor)):
            if path in wanted:
                chunks = iter(partial(stream.read, _BLOCK), b"")
                origin = repository.reference.name
                self.layers.store.add_stream(chunks, sha256=wanted.pop(path), name=path, origin=origin)
        if wanted:
            raise ChecksumMismatch(
                f"{repository.reference.name}: {shared.layer.digest} lacks {', '.join(sorted(wanted))}.",
                next_action="run `prebake compile --push` again on the machine that compiled it",
            )


def read_artifact(description: bytes, key: str | None, log: Log) -> ArtifactFile | None:
    """The artifact of a description. None, with a log line, if it is invalid or has another key."""
    try:
        artifact = ArtifactFile.from_json(description)
        if key not in (None, artifact.key):
            raise ValueError(f"it has the key {artifact.key}")
    except ValueError as error:
        log(f"artifact: {key or ARTIFACT_FILE} is not used: {error}")
        return None
    return artifact
