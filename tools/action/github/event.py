"""The event that started the workflow, from GitHub's variables and the file with its payload."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_NOT_OF_A_TAG = re.compile(r"[^A-Za-z0-9_.-]")
_TAG_CHARACTERS = 128
_NO_COMMIT = "0" * 40


@dataclass(frozen=True)
class Event:
    """``ref_name`` is a branch, a tag or ``N/merge``; ``base_ref`` is the branch that a pull request, or a
    group of a merge queue, goes to, else empty."""

    name: str = ""
    repository: str = ""
    ref: str = ""
    ref_name: str = ""
    base_ref: str = ""
    commit: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pull_request(self) -> Mapping[str, Any] | None:
        return self.payload.get("pull_request")

    @property
    def pull_request_number(self) -> int | None:
        return int(self.pull_request["number"]) if self.pull_request else None

    @property
    def is_fork(self) -> bool:
        """Whether a pull request comes from another repository. A fork that was deleted is one, too."""
        if not self.pull_request:
            return False
        head = (self.pull_request.get("head") or {}).get("repo") or {}
        return str(head.get("full_name", "")).lower() != self.repository.lower()

    @property
    def previous_commit(self) -> str:
        """The commit that this one is compared with if no image is: the base of a pull request or of a
        merge queue's group, or what a push replaced."""
        if self.pull_request:
            return str((self.pull_request.get("base") or {}).get("sha", ""))
        if group := self.payload.get("merge_group"):
            return str(group.get("base_sha") or "")
        before = str(self.payload.get("before") or "")
        return "" if before == _NO_COMMIT else before

    @property
    def pushed_tag(self) -> str:
        """The tag of the image of a pushed branch or git tag; empty for every other event."""
        pushed = self.name == "push" and self.ref.startswith(("refs/heads/", "refs/tags/"))
        return tag_of(self.ref_name) if pushed else ""


def read_event() -> Event:
    """The event of this run. Outside of GitHub Actions, an event without name."""
    path = os.environ.get("GITHUB_EVENT_PATH", "")
    payload = json.loads(Path(path).read_text(encoding="utf-8")) if path and Path(path).is_file() else {}
    queued = str((payload.get("merge_group") or {}).get("base_ref") or "").removeprefix("refs/heads/")
    return Event(
        name=os.environ.get("GITHUB_EVENT_NAME", ""),
        repository=os.environ.get("GITHUB_REPOSITORY", ""),
        ref=os.environ.get("GITHUB_REF", ""),
        ref_name=os.environ.get("GITHUB_REF_NAME", ""),
        base_ref=os.environ.get("GITHUB_BASE_REF") or queued,
        commit=os.environ.get("GITHUB_SHA", ""),
        payload=payload,
    )


def tag_of(branch: str) -> str:
    """The tag for the image of a branch. A name that is no tag, such as one with ``/``, is changed and gets eight digits of its
    hash, so that no branch takes the tag of another one: ``a/b`` not that of ``a-b``, ``@main`` not that of ``main``."""
    tag = _NOT_OF_A_TAG.sub("-", branch).lstrip(".-")[:_TAG_CHARACTERS]
    if tag == branch:
        return tag
    digits = hashlib.sha256(branch.encode()).hexdigest()[:8]
    return f"{tag[: _TAG_CHARACTERS - 9] or 'branch'}-{digits}"
