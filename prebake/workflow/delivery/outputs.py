"""Deliver a finished image: to the Engine, to a registry, or into an OCI layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from prebake.docker.connection import Connection
from prebake.docker.images.pull import EngineCannotReach, load_archive, pull, retag_pulled
from prebake.errors import EngineError, PrebakeError
from prebake.io.byte_sizes import format_bytes
from prebake.io.log import Log
from prebake.oci.blobs.blobs import Image
from prebake.oci.layout.archive import layout_tar, write_layout_tar
from prebake.oci.layout.layout import write_layout
from prebake.oci.reference import Reference, parse_reference
from prebake.oci.registry.loopback import serve_image
from prebake.oci.registry.push import push_image
from prebake.oci.registry.repository import Repository
from prebake.workflow.layers.cache_lookup import MissingBlobs
from prebake.workflow.layers.transfer_progress import show_progress, watched_chunks

_OFFERED_NAME = "prebake/offered"


class OutputInvalid(PrebakeError):
    """``--output`` does not name a place for an image, or a place does not go with ``--by-digest`` or
    ``--require-attestations``."""

    exit_code = 16


@dataclass(frozen=True)
class Delivery:
    """``bytes`` is the number of transferred bytes; ``name`` is the image's name at the destination. ``refused`` are the
    attestations and records that the registry refused, with the reason."""

    name: str
    bytes: int
    refused: Mapping[str, str] = field(default_factory=dict)


class Output(Protocol):
    @property
    def name(self) -> str: ...

    def companion(self, suffix: str) -> Output:
        """The place of an image that belongs to this one, such as its weights image."""

    def put(self, image: Image) -> Delivery:
        """Raises MissingBlobs if the destination needs a blob without content."""


@dataclass(frozen=True)
class EngineOutput:
    """The Engine pulls the layers that it lacks from a registry in this process. If it cannot reach that, the image is
    streamed to it as an archive."""

    connection: Connection
    tag: str
    log: Log

    @property
    def name(self) -> str:
        return f"docker:{self.tag}"

    def companion(self, suffix: str) -> EngineOutput:
        return replace(self, tag=self.tag + suffix)

    def put(self, image: Image) -> Delivery:
        with serve_image(image, name=_OFFERED_NAME, tag=image.digest[7:23]) as served:
            try:
                with show_progress("pull") as progress:
                    pull(self.connection, served.reference, progress.report)
            except EngineError as error:
                if isinstance(error, EngineCannotReach) or not served.requests:
                    return self._load(image)
                served.raise_failure()
                if served.missing:
                    raise MissingBlobs(served.missing) from None
                raise
            retag_pulled(self.connection, served.reference, self.tag)
            return Delivery(self.tag, sum(served.sent.values()))

    def _load(self, image: Image) -> Delivery:
        self.log("docker: the Engine cannot reach this machine's loopback address; loading an archive instead")
        require_bytes(image)
        size = sum(blob.size for blob in image.blobs)
        with show_progress("load") as progress:
            chunks = layout_tar(image, reference=self.tag)
            load_archive(self.connection, watched_chunks(chunks, "archive", size, progress.report))
        return Delivery(self.tag, size)


@dataclass(frozen=True)
class LayoutOutput:
    """An OCI layout in a folder, or in one archive if the path ends in ``.tar``."""

    path: Path
    tag: str

    @property
    def name(self) -> str:
        return f"oci:{self.path}"

    def companion(self, suffix: str) -> LayoutOutput:
        """Another tag in the same folder, or another archive."""
        path = self.path.with_stem(self.path.stem + suffix) if self.path.suffix == ".tar" else self.path
        return LayoutOutput(path, self.tag + suffix)

    def put(self, image: Image) -> Delivery:
        require_bytes(image)
        if self.path.suffix == ".tar":
            write_layout_tar(image, self.path, reference=self.tag)
        else:
            write_layout(image, self.path, reference=self.tag)
        return Delivery(str(self.path), sum(blob.size for blob in image.blobs))


@dataclass(frozen=True)
class RegistryOutput:
    """Blobs that the registry lacks are pushed from the store, the manifest last. ``others`` are repositories of the same
    registry to mount blobs from. ``by_digest``: no tag is written; the reference has none."""

    reference: Reference
    repository: Repository
    log: Log
    others: Sequence[str] = ()
    by_digest: bool = False

    @property
    def name(self) -> str:
        return f"registry:{self.reference}"

    def companion(self, suffix: str) -> RegistryOutput:
        if self.by_digest:
            return self
        return replace(self, reference=replace(self.reference, tag=(self.reference.tag or "latest") + suffix))

    def put(self, image: Image) -> Delivery:
        unknown = [blob.digest for blob in image.blobs if blob.content is None]
        missing = {digest for digest in unknown if not self.repository.has(digest)}
        if missing:
            raise MissingBlobs(missing)
        target = None if self.by_digest else self.reference.tag or "latest"
        with show_progress("push") as progress:
            pushed = push_image(self.repository, image, target, mount_from=self.others, progress=progress)
        self.log(
            f"push: {pushed.name}, {format_bytes(pushed.bytes)} sent of {format_bytes(sum(b.size for b in image.blobs))}"
        )
        return Delivery(pushed.name, pushed.bytes)


def require_bytes(image: Image) -> None:
    """Raises MissingBlobs if a blob has no content."""
    missing = {blob.digest for blob in image.blobs if blob.content is None}
    if missing:
        raise MissingBlobs(missing)


def read_outputs(
    texts: Sequence[str], connection: Connection, tag: str, log: Log, *, by_digest: bool = False
) -> list[Output]:
    """The values of ``--output``: ``docker``, ``oci:DIR``, ``oci:FILE.tar`` or ``registry:REF``. The Engine comes first,
    since the image is checked there. Raises OutputInvalid or ReferenceInvalid."""
    outputs = [read_output(text, connection, tag, log, by_digest=by_digest) for text in texts]
    registries = [output.reference for output in outputs if isinstance(output, RegistryOutput)]
    among = mounting_from(outputs, registries)
    return sorted(among, key=lambda output: not isinstance(output, EngineOutput))


def mounting_from(outputs: Sequence[Output], registries: Sequence[Reference]) -> list[Output]:
    """The outputs; blobs of the same registry's repositories among ``registries`` are mounted instead of sent."""
    return [_among(output, registries) for output in outputs]


def _among(output: Output, registries: Sequence[Reference]) -> Output:
    if not isinstance(output, RegistryOutput):
        return output
    same = [other.path for other in registries if other.host == output.reference.host]
    others = dict.fromkeys([*output.others, *(path for path in same if path != output.reference.path)])
    return replace(output, others=list(others))


def check_outputs(texts: Sequence[str], tag: str, *, attestations: bool, by_digest: bool = False) -> None:
    """Check the places of a build before it begins. With ``attestations`` one must be a registry, since only registries take
    them. With ``by_digest`` as well, and no registry's reference may have a tag. Raises OutputInvalid or ReferenceInvalid."""
    local = parse_reference(tag)
    if local.digest:
        raise OutputInvalid(_by_digest(f"--tag {tag}"), next_action=f"give a tag: {replace(local, digest=None)}")
    places = [read_place(text) for text in texts]
    registries = [place for place in places if isinstance(place, Reference)]
    for flag in [*(["--require-attestations"] if attestations else []), *(["--by-digest"] if by_digest else [])]:
        if not registries:
            raise OutputInvalid(
                f"{flag} needs a registry, and this build pushes to none.",
                next_action="push the image (--push REF, --output registry:REF), or leave the flag out",
            )
    if tagged := [place for place in registries if place.tag] if by_digest else []:
        raise OutputInvalid(
            f"--by-digest does not go with a tag, and a tag is given: {', '.join(map(str, tagged))}.",
            next_action=f"leave the tag out (--push {tagged[0].name}), or leave --by-digest out",
        )


def read_place(text: str) -> Path | Reference | None:
    """A layout's path, a registry's reference, or None for the Engine. Raises OutputInvalid or ReferenceInvalid."""
    kind, _, place = text.partition(":")
    if text == "docker":
        return None
    if kind == "oci" and place:
        return Path(place)
    if kind == "registry" and place:
        reference = parse_reference(place)
        if reference.digest:
            next_action = f"give a tag: {replace(reference, digest=None)}"
            raise OutputInvalid(_by_digest(f"registry:{place}"), next_action=next_action)
        return reference
    raise OutputInvalid(
        f"--output {text} is not a place for an image.",
        next_action="give docker, oci:DIR, oci:FILE.tar or registry:REFERENCE",
    )


def _by_digest(what: str) -> str:
    return f"{what} has a digest, but the digest of an image is known only after it was built."


def read_output(text: str, connection: Connection, tag: str, log: Log, *, by_digest: bool = False) -> Output:
    """``docker``, ``oci:DIR``, ``oci:FILE.tar`` or ``registry:REF``. Raises OutputInvalid or ReferenceInvalid."""
    place = read_place(text)
    if place is None:
        return EngineOutput(connection, tag, log)
    if isinstance(place, Path):
        return LayoutOutput(place, tag)
    return RegistryOutput(place, Repository(place, log=log, pushing=True), log, by_digest=by_digest)
