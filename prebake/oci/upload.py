"""One blob to a registry: a POST and one PUT of all its bytes, as containerd, BuildKit and oras send them (distribution
specification, "POST then PUT"). Pieces go only to a host that refuses a request of that size, or if they are asked for."""

from __future__ import annotations

from collections.abc import Callable

from prebake.oci.blobs import Blob
from prebake.oci.content import Content
from prebake.oci.errors import DigestDisputed, RegistryUnreachable
from prebake.oci.habits import SIZES, VARIABLE
from prebake.oci.pieces import Pieces
from prebake.oci.session import Adapted, Session, Way
from prebake.patience import persist


def unwatched(_position: int) -> None:
    """For uploads whose progress nobody looks at."""


class Upload:
    """``run`` does it. ``sent`` counts the bytes that left, those sent again included."""

    def __init__(self, way: Way, blob: Blob, content: Content, passed: Callable[[int], None] = unwatched) -> None:
        """``passed`` is called with the position up to which the blob is on its way; it may fall when it begins again.

        Raises ChecksumMismatch where the content has another size than the blob.
        """
        self._way = way
        self._session = Session(way, blob, content, passed)
        self._size = blob.size
        self._pieces: Pieces | None = None
        self._best = 0

    @property
    def sent(self) -> int:
        return self._session.body.sent

    def run(self) -> None:
        """Raises ChecksumMismatch, FileChanged, DigestDisputed, or what the connection does; nothing of the upload is
        left then, as far as the registry can still be asked to forget it."""
        try:
            if not self._accepted():
                self._begin_anew_after_dispute()
                if not self._accepted():
                    raise DigestDisputed(
                        f"{self._way.connection.host} says, twice, that what it received is not"
                        f" {self._session.blob.digest}.",
                        next_action="look for what changes bytes on their way (a proxy), or for the registry's disk",
                    )
        except BaseException:
            self._session.cancel()
            raise

    def _accepted(self) -> bool:
        """False where the registry disputes the digest."""
        try:
            return persist(self._attempt, self._way.connection.tries(), done=lambda: self._best)
        except RegistryUnreachable as error:
            if self._pieces is not None or self._size <= SIZES[0]:
                raise
            hint = f"{error.next_action}; {VARIABLE}=16MiB sends pieces, which are gone on with after a cut"
            raise RegistryUnreachable(error.message, next_action=hint) from error

    def _attempt(self) -> bool:
        """One form after the other until the host takes one: a refused form is no failure that may pass."""
        if self._session.may_be_whole():
            return True
        while True:
            try:
                return self._send()
            except Adapted:
                self._begin_anew()

    def _send(self) -> bool:
        piece = self._way.habits.piece_of(self._size, self._way.setting)
        if piece is None:
            self._begin_anew()
            self._session.open()
            return self._session.finish(0)
        if self._pieces is None:
            self._pieces = Pieces(self._session, piece)
        try:
            return self._pieces.attempt()
        finally:  # what the registry kept is progress; of a whole blob it keeps nothing
            self._best = max(self._best, self._pieces.offset)

    def _begin_anew(self) -> None:
        self._session.cancel()
        self._session.body.begin_anew()
        self._pieces = None

    def _begin_anew_after_dispute(self) -> None:
        """In one request where that is possible: the registry may have put pieces together wrongly."""
        if self._pieces is not None and not self._way.habits.forces_pieces(self._size, self._way.setting):
            self._way.habits.refuse_pieces("it put together other bytes than were sent")
        self._begin_anew()
