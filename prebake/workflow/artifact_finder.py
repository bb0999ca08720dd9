"""Compiled artifacts where they are kept: in the store, checked byte for byte, and at registries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from prebake.bake.artifact_file import NAME, ArtifactFile
from prebake.errors import ChecksumMismatch
from prebake.oci.blobs import Descriptor
from prebake.oci.download import remote_blob
from prebake.oci.errors import RegistryDenied, RegistryError
from prebake.oci.records import FileRecord, LayerRecord
from prebake.oci.registry import Repository
from prebake.oci.shared_artifacts import SharedArtifact
from prebake.oci.shared_artifacts import find_artifacts as find_shared
from prebake.oci.unpacked import DAMAGE, files_of
from prebake.plan.compiled import lookup_key
from prebake.plan.values import Plan
from prebake.workflow.parts import Parts
from prebake.workflow.steps import Tell

_BLOCK = 1 << 20


@dataclass(frozen=True)
class FoundArtifact:
    """``layer`` is what a registry holds of it, where the store does not have its bytes."""

    artifact: ArtifactFile
    layer: LayerRecord | None = None


@dataclass(frozen=True)
class Finder:
    """``mend``: whether damaged objects leave the store, so that they are made or fetched again;
    ``bring``: whether bytes are fetched from a registry, as an image of several models has them at another place."""

    parts: Parts
    tell: Tell
    mend: bool = True
    bring: bool = False

    def all(self, plan: Plan) -> Iterator[tuple[str, list[FoundArtifact]]]:
        """By model."""
        return ((model.name, self.find(lookup_key(model))) for model in plan.models)

    def find(self, lookup: str) -> list[FoundArtifact]:
        """Those listed under a key; what is damaged is told, and is taken from the next place that has it whole."""
        found = {each.artifact.key: each for each in self._shared(lookup)}
        for key, files in self.parts.library.records.listed(lookup).items():
            if (artifact := self._stored(key, files)) is not None:
                found[key] = FoundArtifact(artifact)
        return [found[key] for key in sorted(found)]

    def _stored(self, key: str, files: Sequence[FileRecord]) -> ArtifactFile | None:
        """None where a byte of it is missing or changed."""
        store = self.parts.store
        for file in files:
            if store.get(file.sha256, file.size) is None:
                if (path := store.get(file.sha256)) is not None:
                    self._drop(key, file, f"has {path.stat().st_size} bytes, not {file.size}")
                return None
            if (damage := store.damage(file.sha256)) is not None:
                self._drop(key, file, f"has the sha256 {damage.found}, not {file.sha256}")
                return None
        (description,) = (file for file in files if file.path == NAME)
        return read_artifact(store.place(description.sha256).read_bytes(), key, self.tell)

    def _drop(self, key: str, file: FileRecord, what: str) -> None:
        self.tell(f"artifact: {key[:12]} of the store is damaged and left out: {file.path} {what}")
        if self.mend:
            self.parts.store.drop(file.sha256)

    def _shared(self, lookup: str) -> list[FoundArtifact]:
        return [found for repository in self.parts.library.repositories for found in self._at(repository, lookup)]

    def _at(self, repository: Repository, lookup: str) -> list[FoundArtifact]:
        """An image without what cannot be read is slower to start, and right."""
        found = []
        try:
            for shared in find_shared(repository, lookup):
                artifact = read_artifact(shared.description, None, self.tell)
                if artifact and self.bring:
                    self._bring(artifact, repository, shared)
                found += [FoundArtifact(artifact, None if self.bring else shared.layer)] if artifact else []
        except (ChecksumMismatch, RegistryError, RegistryDenied, *DAMAGE) as error:
            self.tell(f"artifact: not all of {repository.reference.name}'s are taken: {error}")
        return found

    def _bring(self, artifact: ArtifactFile, repository: Repository, shared: SharedArtifact) -> None:
        """Every file into the store. Raises ChecksumMismatch where one is not as described."""
        descriptor = Descriptor(shared.layer.media_type, shared.layer.digest, shared.layer.size)
        wanted = {f"models/{path}": str(file["sha256"]) for path, file in artifact.files.items()}
        for path, _, stream in files_of(remote_blob(repository, descriptor)):
            if path in wanted:
                chunks = iter(partial(stream.read, _BLOCK), b"")
                origin = repository.reference.name
                self.parts.store.add_stream(chunks, sha256=wanted.pop(path), name=path, origin=origin)
        if wanted:
            raise ChecksumMismatch(
                f"{repository.reference.name}: {shared.layer.digest} lacks {', '.join(sorted(wanted))}.",
                next_action="run `prebake compile --push` again where it was compiled",
            )


def read_artifact(description: bytes, key: str | None, tell: Tell) -> ArtifactFile | None:
    """None, and told, for what is no description, or one of another key."""
    try:
        artifact = ArtifactFile.from_json(description)
        if key not in (None, artifact.key):
            raise ValueError(f"it has the key {artifact.key}")
    except ValueError as error:
        tell(f"artifact: {key or NAME} is left out: {error}")
        return None
    return artifact
