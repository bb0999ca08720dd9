"""The git repository that a project lies in: its commit, its tag, its remote, and whether the tree differs from the commit."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from prebake import process
from prebake.process import CommandFailed, silent
from prebake.workflow.steps import Tell

_SECONDS = 60.0
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""What git sets for a hook: they would point to the repository whose hook this is, and not to the project's."""
_SCP = re.compile(r"(?:[^@/\s]+@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!/)(\S+)")


@dataclass(frozen=True)
class Checkout:
    """``commit`` is the full hash, ``time`` the commit's (seconds since the epoch), ``tag`` the newest tag of that very
    commit, ``source`` the remote's URL as https and without credentials; both may be empty. ``dirty``: the tree differs."""

    commit: str
    time: int
    tag: str
    source: str
    dirty: bool


def read_checkout(root: Path, tell: Tell) -> Checkout | None:
    """None if the folder is in no repository, is ignored by it, or has no commit yet. If git is missing or refuses (it does
    for another user's folder), its words are told."""
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return None
    try:
        if _git(root, "check-ignore", "--quiet", ".", ok=(0, 1)).exit_code == 0:
            return None
        head = _git(root, "log", "-1", "--no-show-signature", "--format=%H %ct", "HEAD", ok=(0, 128)).stdout.split()
        if len(head) != 2:
            return None
        tags = _git(root, "tag", "--points-at", "HEAD", "--sort=-version:refname").stdout.split()
        return Checkout(head[0], int(head[1]), tags[0] if tags else "", _remote(root), _is_dirty(root))
    except CommandFailed as failed:
        tell(f"git: no commit is named, as it cannot be read here: {failed.message.splitlines()[-1].strip()}")
        return None


def public_url(remote: str) -> str:
    """A remote's URL as everybody may read it: https, without user, password, token, query and ``.git``; empty for a folder
    of this machine, and for what is no URL."""
    remote = remote.strip()
    if "://" not in remote:
        scp = _SCP.fullmatch(remote)
        return _https(scp[1], scp[2]) if scp else ""
    try:
        parts = urlsplit(remote)
        number = parts.port
    except ValueError:  # such as ssh://git@host:owner/name; its words are not told, as a password may be among them
        return ""
    if not parts.hostname or parts.scheme == "file":
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = f":{number}" if number and parts.scheme in ("http", "https") else ""
    scheme = "http" if parts.scheme == "http" else "https"
    return _https(host + port, parts.path, scheme)


def _https(host: str, path: str, scheme: str = "https") -> str:
    return f"{scheme}://{host}/{path.strip('/').removesuffix('.git')}"


def _remote(root: Path) -> str:
    """That of the branch's upstream is rarely another one than origin; a clone without origin has its only remote. A setting
    of the user's, such as ``remote.origin.prune`` makes git list a remote that has no URL."""
    names = sorted(_git(root, "remote").stdout.split(), key=lambda name: name != "origin")
    asked = (_git(root, "remote", "get-url", name, ok=(0, 2, 128)) for name in names)
    urls = (public_url(found.stdout) for found in asked if found.exit_code == 0)
    return next((url for url in urls if url), "")


def _is_dirty(root: Path) -> bool:
    """Tracked files below the project that differ from the commit, or new files below images/, which a build reads. What lies
    elsewhere beside them, such as build/, is not in the image."""
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".").stdout
    new = _git(root, "ls-files", "--others", "--exclude-standard", "--", "images").stdout
    return bool(changed.strip() or new.strip())


def _git(root: Path, *words: str, ok: tuple[int, ...] = (0,)) -> process.Finished:
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    environ = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    done = process.run(command, env=environ, timeout=_SECONDS, check=False, say=silent)
    if done.exit_code not in ok:
        raise CommandFailed(done, f"ended with code {done.exit_code}")
    return done
