"""A blob in pieces, by PATCH, gone on with after a cut (distribution specification, "Pushing a blob in chunks")."""

from __future__ import annotations

import re

from prebake.oci.answers import SUCCESS, Answer
from prebake.oci.connection import Ask
from prebake.oci.errors import unusable
from prebake.oci.session import Adapted, Session
from prebake.patience import Passing


class Pieces:
    """``offset``: bytes that the registry has, by our own count. Amazon ECR's ``Range`` stays at the first piece, so the
    ``Range`` of a 2xx is not read: the digest decides in the end."""

    def __init__(self, session: Session, piece: int) -> None:
        self._session = session
        self._piece = piece
        self._size = session.blob.size
        self._unsure = False  # whether the registry has to be asked for the offset
        self._corrected = False  # whether the offset was set anew after a 416
        self._losses = 0
        self.offset = 0

    def attempt(self) -> bool:
        """False where the registry disputes the digest. Raises Adapted, Passing, or RegistryError."""
        if self._session.place and self._unsure:
            self._ask_offset()
        if not self._session.place:
            self._session.open()
            self.offset, self._unsure = 0, False
        while self.offset < self._size:
            self._send(min(max(self._piece, self._session.least), self._size - self.offset))
        self._unsure = True
        return self._session.finish(self._size)

    def _send(self, count: int) -> None:
        start, end = self.offset, self.offset + count
        self._unsure = True
        answer = self._session.send("PATCH", start, end, self._session.place, {"Content-Range": f"{start}-{end - 1}"})
        if answer.status not in SUCCESS:
            self._meet_refusal(answer, count)
        self._corrected = False
        self._go_on(answer, end)

    def _meet_refusal(self, answer: Answer, count: int) -> None:
        if answer.status == 413 and count <= self._session.least:
            host, least = self._session.way.connection.host, self._session.least
            raise unusable(host, f"{answer.reason}, though it asks for pieces of {least} bytes at least")
        self._session.meet_limit(answer, count)
        if answer.status == 416:
            self._meet_range(answer, count)
        self._count_loss(answer)
        self._session.meet_loss(answer)
        self._refuse(answer.reason)

    def _meet_range(self, answer: Answer, count: int) -> None:
        """Some registries say 416 for another offset, which may be gone on from, and GHCR for a piece above 4 MiB. An offset
        that is answered by 416 again is no offset: Amazon ECR's stays at the first piece."""
        sent, corrected = self.offset, self._corrected
        self._ask_offset()
        self._corrected = True
        if self._session.place and self.offset != sent and not corrected:
            raise Passing(answer.reason, becomes=unusable)
        if count <= self._session.least:
            self._refuse(answer.reason)
        self._session.way.habits.refuse_piece(count, answer.reason)
        raise Adapted

    def _count_loss(self, answer: Answer) -> None:
        """A host that does not know an upload twice takes no pieces: it has no PATCH, or replicas that share none."""
        way = self._session.way
        self._losses += answer.status in (404, 410)
        if self._losses > 1 and not way.habits.forces_pieces(self._size, way.setting):
            self._refuse(answer.reason)

    def _refuse(self, reason: str) -> None:
        self._session.way.habits.refuse_pieces(reason)
        raise Adapted

    def _ask_offset(self) -> None:
        """An offset that is not known, or beyond what was hashed, has the upload begin anew."""
        way = self._session.way
        allowed = (*SUCCESS, 400, 404, 405, 410, 416, 501)
        answer = way.connection.once(Ask("GET", self._session.place, way.scopes, allowed))
        offset = _kept(answer)
        if answer.status not in SUCCESS or offset is None or offset > self._session.body.hashed:
            self._session.cancel()
        else:
            self._go_on(answer, offset)

    def _go_on(self, answer: Answer, offset: int) -> None:
        if "Location" in answer.headers:
            self._session.place = self._session.way.connection.place(answer)
        self.offset = offset
        self._unsure = False


def _kept(answer: Answer) -> int | None:
    """How many bytes the registry says it has. ``0-0`` tells nothing: some say it for no byte as for one."""
    found = re.fullmatch(r"(?:bytes=)?0-(\d+)", answer.headers.get("Range", ""))
    return int(found[1]) + 1 if found and int(found[1]) else None
