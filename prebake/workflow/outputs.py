"""Where a finished image goes: into the Engine, to a registry, into an OCI layout."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from prebake.engine.connection import Connection
from prebake.engine.pull import EngineCannotReach, adopt, load_archive, pull
from prebake.errors import EngineError, PrebakeError
from prebake.oci.archive import layout_tar, write_layout_tar
from prebake.oci.blobs import Image
from prebake.oci.layout import write_layout
from prebake.oci.push import push_image
from prebake.oci.reference import Reference, parse_reference
from prebake.oci.registry import Repository
from prebake.oci.serving import serve_image
from prebake.sizes import show_bytes
from prebake.workflow.steps import Tell
from prebake.workflow.transfers import showing, watched_chunks

_OFFERED = "prebake/offered"


class BytesMissing(PrebakeError):
    """A destination lacks blobs that are not here either."""

    def __init__(self, digests: Collection[str]) -> None:
        super().__init__(f"not here: {', '.join(sorted(digests))}", next_action="build again, where the sources answer")
        self.digests = frozenset(digests)


class OutputInvalid(PrebakeError):
    """``--output`` names no place that an image can go to."""

    exit_code = 16


@dataclass(frozen=True)
class Delivered:
    """``bytes`` that moved; ``name`` is what the image is reached by now; ``refused`` is what was to lie beside it and the
    registry did not take, with the reason."""

    name: str
    bytes: int
    refused: Mapping[str, str] = field(default_factory=dict)


class Output(Protocol):
    @property
    def name(self) -> str: ...

    def beside(self, suffix: str) -> Output:
        """The place of an image that belongs to the one here."""

    def put(self, image: Image) -> Delivered:
        """Raises BytesMissing where the destination needs what the image has no bytes of."""


@dataclass(frozen=True)
class ToEngine:
    """The Engine pulls from a registry inside this process, and only what it lacks; where it cannot reach that, the image
    is streamed to it as an archive."""

    connection: Connection
    tag: str
    tell: Tell

    @property
    def name(self) -> str:
        return f"docker:{self.tag}"

    def beside(self, suffix: str) -> ToEngine:
        return replace(self, tag=self.tag + suffix)

    def put(self, image: Image) -> Delivered:
        with serve_image(image, name=_OFFERED, tag=image.digest[7:23]) as served:
            try:
                with showing("pull") as progress:
                    pull(self.connection, served.reference, progress.report)
            except EngineError as error:
                if isinstance(error, EngineCannotReach) or not served.requests:
                    return self._load(image)
                served.raise_failure()
                if served.missing:
                    raise BytesMissing(served.missing) from None
                raise
            adopt(self.connection, served.reference, self.tag)
            return Delivered(self.tag, sum(served.sent.values()))

    def _load(self, image: Image) -> Delivered:
        self.tell("docker: the Engine cannot reach this machine's loopback; loading an archive instead")
        require_bytes(image)
        size = sum(blob.size for blob in image.blobs)
        with showing("load") as progress:
            chunks = layout_tar(image, reference=self.tag)
            load_archive(self.connection, watched_chunks(chunks, "archive", size, progress.report))
        return Delivered(self.tag, size)


@dataclass(frozen=True)
class ToLayout:
    """An OCI layout in a folder, or in one archive where the path ends in ``.tar``."""

    path: Path
    tag: str

    @property
    def name(self) -> str:
        return f"oci:{self.path}"

    def beside(self, suffix: str) -> ToLayout:
        """Another name in the same folder, or another archive."""
        path = self.path.with_stem(self.path.stem + suffix) if self.path.suffix == ".tar" else self.path
        return ToLayout(path, self.tag + suffix)

    def put(self, image: Image) -> Delivered:
        require_bytes(image)
        if self.path.suffix == ".tar":
            write_layout_tar(image, self.path, reference=self.tag)
        else:
            write_layout(image, self.path, reference=self.tag)
        return Delivered(str(self.path), sum(blob.size for blob in image.blobs))


@dataclass(frozen=True)
class ToRegistry:
    """Blobs straight from the store to the registry, those that it has left out, the manifest last. ``others`` are
    repositories of the same registry that may have some already."""

    reference: Reference
    repository: Repository
    tell: Tell
    others: Sequence[str] = ()

    @property
    def name(self) -> str:
        return f"registry:{self.reference}"

    def beside(self, suffix: str) -> ToRegistry:
        return replace(self, reference=replace(self.reference, tag=(self.reference.tag or "latest") + suffix))

    def put(self, image: Image) -> Delivered:
        unknown = [blob.digest for blob in image.blobs if blob.content is None]
        lacking = {digest for digest in unknown if not self.repository.has(digest)}
        if lacking:
            raise BytesMissing(lacking)
        target = self.reference.tag or "latest"
        with showing("push") as progress:
            pushed = push_image(self.repository, image, target, mount_from=self.others, watch=progress)
        self.tell(
            f"push: {pushed.name}, {show_bytes(pushed.bytes)} sent of {show_bytes(sum(b.size for b in image.blobs))}"
        )
        return Delivered(pushed.name, pushed.bytes)


def require_bytes(image: Image) -> None:
    """Raises BytesMissing where a blob has no content."""
    missing = {blob.digest for blob in image.blobs if blob.content is None}
    if missing:
        raise BytesMissing(missing)


def read_outputs(texts: Sequence[str], connection: Connection, tag: str, tell: Tell) -> list[Output]:
    """Places as ``--output`` names them: ``docker``, ``oci:DIR``, ``oci:FILE.tar`` or ``registry:REF``; the Engine's
    first, since an image is proved there. Raises OutputInvalid or ReferenceInvalid."""
    outputs = [read_output(text, connection, tag, tell) for text in texts]
    registries = [output.reference for output in outputs if isinstance(output, ToRegistry)]
    return sorted((_among(output, registries) for output in outputs), key=lambda each: not isinstance(each, ToEngine))


def _among(output: Output, registries: Sequence[Reference]) -> Output:
    if not isinstance(output, ToRegistry):
        return output
    same = [other.path for other in registries if other.host == output.reference.host]
    return replace(output, others=[path for path in same if path != output.reference.path])


def check_outputs(texts: Sequence[str], tag: str, *, attestations: bool) -> None:
    """Check the places of a build before anything is done. With ``attestations`` one has to be a registry, since they go nowhere
    else. Raises OutputInvalid or ReferenceInvalid."""
    local = parse_reference(tag)
    if local.digest:
        raise OutputInvalid(_by_digest(f"--tag {tag}"), next_action=f"name a tag: {replace(local, digest=None)}")
    places = [read_place(text) for text in texts]
    if attestations and not any(isinstance(place, Reference) for place in places):
        raise OutputInvalid(
            "--require-attestations: the image goes to no registry, and attestations go nowhere else.",
            next_action="push it (--push REF, --output registry:REF), or leave the flag out",
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
            next_action = f"name a tag: {replace(reference, digest=None)}"
            raise OutputInvalid(_by_digest(f"registry:{place}"), next_action=next_action)
        return reference
    raise OutputInvalid(
        f"--output {text} is no place for an image.",
        next_action="say docker, oci:DIR, oci:FILE.tar or registry:REFERENCE",
    )


def _by_digest(what: str) -> str:
    return f"{what} names an image by digest, and the digest of what is built follows from its bytes."


def read_output(text: str, connection: Connection, tag: str, tell: Tell) -> Output:
    """``docker``, ``oci:DIR``, ``oci:FILE.tar`` or ``registry:REF``. Raises OutputInvalid or ReferenceInvalid."""
    place = read_place(text)
    if place is None:
        return ToEngine(connection, tag, tell)
    if isinstance(place, Path):
        return ToLayout(place, tag)
    return ToRegistry(place, Repository(place, say=tell, pushing=True), tell)
