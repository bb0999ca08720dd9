"""Metadata of an image: its time, its source, and the labels of the command line.

Names are the image specification's ("Pre-Defined Annotation Keys"). No layer's key contains it: a new commit changes the
config and the manifest, and no layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prebake.errors import InputProblems, PrebakeError, Problem

OCI = "org.opencontainers.image"
OWN = "dev.prebake."
OF_THE_COMMIT = tuple(f"{OCI}.{name}" for name in ("created", "revision", "version"))
"""Labels whose value changes with the commit."""
_LATEST = 253402300799  # 9999-12-31T23:59:59Z: RFC 3339 has years of four digits
_KEY = re.compile(r"[A-Za-z0-9]+(?:[._/-]+[A-Za-z0-9]+)*")
_RESERVED: Mapping[str, str] = {
    f"{OCI}.created": "SOURCE_DATE_EPOCH sets it",
    f"{OCI}.title": "it is image.yaml's `title`",
    f"{OCI}.description": "it is image.yaml's `description`",
    f"{OCI}.licenses": "it is the checkpoint's license in image.yaml",
    f"{OCI}.base.name": "it is image.yaml's `base`",
    f"{OCI}.base.digest": "weights.lock pins it",
}
"""Labels that Prebake writes and ``prebake verify`` reads, each with what sets it."""


class LabelsInvalid(InputProblems):
    """``--label`` was given a label that is not ``KEY=VALUE``, that Prebake sets itself, or that is given twice.
    The message lists all of them."""

    exit_code = 55


class SourceDateInvalid(PrebakeError):
    """``SOURCE_DATE_EPOCH`` is not a number of seconds since 1970."""

    exit_code = 56


@dataclass(frozen=True)
class Metadata:
    """``created`` is in seconds since the epoch; None if no time is known. ``source`` is the repository's URL, ``commit``
    the full hash of its commit, ``ref`` the branch or tag that CI builds; ``dirty`` says that the tree differs from the
    commit. ``given`` are the labels of the command line. An unknown value is empty."""

    created: int | None = None
    source: str = ""
    commit: str = ""
    dirty: bool = False
    version: str = ""
    ref: str = ""
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """The commit, with ``-dirty`` behind it if the tree differs from it, as BuildKit writes ``vcs:revision``."""
        return f"{self.commit}-dirty" if self.commit and self.dirty else self.commit

    @property
    def created_text(self) -> str:
        """RFC 3339; empty if no time is known."""
        return "" if self.created is None else rfc3339(self.created)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of source and time; labels of the command line replace them."""
        found = {
            f"{OCI}.created": self.created_text,
            f"{OCI}.source": self.source,
            f"{OCI}.revision": self.revision,
            f"{OCI}.version": self.version,
        }
        return {**{key: value for key, value in found.items() if value}, **self.given}


def rfc3339(seconds: int) -> str:
    """A time in UTC (``2026-12-01T14:00:00Z``)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_source_date(text: str | None) -> int | None:
    """``SOURCE_DATE_EPOCH`` (its specification: an ASCII decimal number of seconds); None if it is unset or empty. Raises
    SourceDateInvalid."""
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) and int(text) <= _LATEST:
        return int(text)
    raise SourceDateInvalid(
        f"SOURCE_DATE_EPOCH={text!r} is not a time.",
        next_action="give seconds since 1970-01-01T00:00:00Z, such as `git log -1 --pretty=%ct` prints, or unset it",
    )


def read_labels(texts: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` each, as ``--label`` takes them. Raises LabelsInvalid with every problem."""
    labels: dict[str, str] = {}
    problems: list[Problem] = []
    for text in texts:
        key, equals, value = text.partition("=")
        found = list(_faults(key, equals, value))
        if not found and labels.get(key, value) != value:
            found = [f"is given twice, as {labels[key]!r} and as {value!r}"]
        problems += [Problem(f"--label {text!r}", fault) for fault in found]
        labels.setdefault(key, value)
    if problems:
        raise LabelsInvalid(
            "These labels are invalid:",
            problems,
            next_action="write --label KEY=VALUE, the key as in org.opencontainers.image.vendor",
        )
    return labels


def _faults(key: str, equals: str, value: str) -> Iterator[str]:
    if not equals:
        yield "is not KEY=VALUE"
    if not _KEY.fullmatch(key):
        yield "has a key with characters other than letters, digits, and . - _ / between them" if key else "has no key"
    if why := _RESERVED.get(key):
        yield f"is set by Prebake: {why}"
    if key.startswith(OWN):
        yield f"is set by Prebake: `prebake verify` reads {OWN}*"
    if not value.isprintable():
        yield "has a line break or another character that cannot be printed"
