"""The git repository of a project: its commit, tag and remote, and whether the working tree is dirty."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from prebake.io import subprocesses
from prebake.io.log import Log, silent
from prebake.io.subprocesses import CommandFailed

_TIMEOUT_SECONDS = 60.0
HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""Variables that git sets for a hook. They name the hook's repository, which may not be the project's."""
EMBEDDED_REFUSED = ("-c", "safe.bareRepository=explicit")
"""git takes any folder with HEAD, objects/ and refs/ for a repository and obeys its config, which may name programs. A commit can
contain such a folder, and it may be the project's."""
_SCP = re.compile(r"(?:[^@/\s]+@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!/)(\S+)")


@dataclass(frozen=True)
class Checkout:
    """``commit`` is the full hash, ``time`` the commit's (seconds since the epoch), ``tag`` the newest tag of the
    commit, ``source`` the remote's URL as https and without credentials; both may be empty. ``dirty``: uncommitted changes."""

    commit: str
    time: int
    tag: str
    source: str
    dirty: bool


def read_checkout(root: Path, log: Log) -> Checkout | None:
    """The checkout, or None if the folder is in no repository, is ignored by it, or has no commit. If git is missing or refuses
    (as it does for another user's folder), its message is logged."""
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return None
    try:
        if _git(root, "check-ignore", "--quiet", ".", ok=(0, 1)).exit_code == 0:
            return None
        head = _git(root, "log", "-1", "--no-show-signature", "--format=%H %ct", "HEAD", ok=(0, 128)).stdout.split()
        if len(head) != 2:
            return None
        tags = _git(root, "tag", "--points-at", "HEAD", "--sort=-version:refname").stdout.split()
        return Checkout(
            commit=head[0],
            time=int(head[1]),
            tag=tags[0] if tags else "",
            source=_remote(root),
            dirty=_is_dirty(root),
        )
    except CommandFailed as failed:
        log(f"git: the image's labels have no commit, since git failed: {failed.message.splitlines()[-1].strip()}")
        return None


def public_url(remote: str) -> str:
    """A remote's public URL: https, without user, password, token, query and ``.git``. Empty for a local folder and for a text
    that is no URL."""
    remote = remote.strip()
    if "://" not in remote:
        scp = _SCP.fullmatch(remote)
        return _https(scp[1], scp[2]) if scp else ""
    try:
        parts = urlsplit(remote)
        number = parts.port
    except ValueError:  # such as ssh://git@host:owner/name; the text is not logged, as it may contain a password
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
    """The public URL of origin, or of the first other remote. A user setting such as ``remote.origin.prune`` makes git list a
    remote without a URL."""
    names = sorted(_git(root, "remote").stdout.split(), key=lambda name: name != "origin")
    answers = (_git(root, "remote", "get-url", name, ok=(0, 2, 128)) for name in names)
    urls = (public_url(answer.stdout) for answer in answers if answer.exit_code == 0)
    return next((url for url in urls if url), "")


def _is_dirty(root: Path) -> bool:
    """Whether tracked files of the project differ from the commit, or images/ has new files. New files elsewhere, such as
    build/, are not in the image."""
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".").stdout
    new = _git(root, "ls-files", "--others", "--exclude-standard", "--", "images").stdout
    return bool(changed.strip() or new.strip())


def _git(root: Path, *words: str, ok: tuple[int, ...] = (0,)) -> subprocesses.EndedCommand:
    command = ["git", *EMBEDDED_REFUSED, "--no-optional-locks", "-C", str(root), *words]
    environ = {name: value for name, value in os.environ.items() if name not in HOOK_VARIABLES}
    done = subprocesses.run(command, env=environ, timeout=_TIMEOUT_SECONDS, check=False, log=silent)
    if done.exit_code not in ok:
        raise CommandFailed(done, f"ended with code {done.exit_code}")
    return done
