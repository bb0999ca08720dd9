"""The image of another git revision, built beside the working tree."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import prebake
from prebake.errors import Interrupted, PrebakeError
from prebake.io import subprocesses
from prebake.io.log import Log, silent
from prebake.io.subprocesses import CommandFailed
from prebake.measure.gate.errors import BaselineUnusable
from prebake.plan.image_metadata import Metadata
from prebake.workflow.build import build_image
from prebake.workflow.metadata.git import EMBEDDED_REFUSED, HOOK_VARIABLES
from prebake.workflow.requests import BuildRequest

GIT_SECONDS = 600.0


@dataclass(frozen=True)
class Revision:
    """``folder`` is that of the project in its repository, empty for the top folder."""

    root: Path
    commit: str
    folder: str


def find_revision(root: Path, name: str) -> Revision | None:
    """The commit of a branch, tag or hash in the project's repository; None if git has none of this name."""
    try:
        found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found is None:
            return None
        return Revision(root, found, _git(root, "rev-parse", "--show-prefix") or "")
    except CommandFailed:  # git is missing
        return None


def is_ref(root: Path, name: str) -> bool:
    """Whether the project's repository has a branch, also of a remote, or a tag of exactly this name."""
    kinds = ("heads", "tags", "remotes")
    try:
        return any(_git(root, "show-ref", "--verify", "--quiet", f"refs/{kind}/{name}") is not None for kind in kinds)
    except CommandFailed:  # git is missing
        return False


def image_tag(revision: Revision, request: BuildRequest) -> str:
    """The tag for the image of ``request`` at ``revision``: names for people, and digits of everything that the image depends on.
    A branch's name is not a part of it."""
    options = request.options
    names = [request.model, options.target, options.checkpoint or "default"]
    others = [*names, revision.commit, revision.folder, request.base, prebake.__version__]
    digits = hashlib.sha256("\n".join(others).encode()).hexdigest()[:16]
    return "-".join([*names, revision.commit[:16]])[:100] + f"-{digits}"


def build_revision(revision: Revision, request: BuildRequest, tag: str, log: Log) -> str:
    """Build the image of ``request`` as it was at ``revision``, and tag it. Returns the tag.

    A revision that contains Prebake is built by its own, in a process of its own; another one by this Prebake.
    Raises BaselineUnusable.
    """
    with _checked_out(revision) as project:
        own = (project / "build.py").is_file() and (project / "prebake" / "cli.py").is_file()
        log(f"baseline: building {request.model} of {revision.commit[:12]} by {'its own' if own else 'this'} Prebake")
        if not (project / "images" / request.model / "image.yaml").is_file():
            raise BaselineUnusable(
                f"The revision {revision.commit[:12]} has no images/{request.model}/image.yaml.",
                next_action="choose a revision that has the image, or a tag or a registry's reference",
            )
        try:
            if own:
                _build_by_its_own(project, request, tag, log)
            else:
                options = replace(request.options, tag=tag, metadata=Metadata())
                build_image(
                    BuildRequest(
                        project, request.model, options, request.accepted_licenses, starts=1, base=request.base
                    ),
                    log,
                )
        except Interrupted:
            raise
        except PrebakeError as error:
            raise BaselineUnusable(
                f"The baseline, revision {revision.commit[:12]}, cannot be built: {error.message}",
                next_action=f"build it by hand in a worktree of the revision; {error.next_action}",
            ) from error
    return tag


def _build_by_its_own(project: Path, request: BuildRequest, tag: str, log: Log) -> None:
    options = request.options
    command: list[str | Path] = [sys.executable, project / "build.py", "--model", request.model, "--tag", tag]
    command += ["--target", options.target]
    command += ["--checkpoint", options.checkpoint] if options.checkpoint else []
    command += ["--base", request.base] if request.base != "auto" else []
    licenses = {"PREBAKE_ACCEPT_LICENSE": ",".join(request.accepted_licenses)} if request.accepted_licenses else {}
    kept = {name: value for name, value in os.environ.items() if name != "PREBAKE_ERROR_FILE"}
    env = {**kept, "PREBAKE_STARTS": "1", **licenses}
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        log(f"baseline: {line}")

    code = subprocesses.stream(command, on_stdout=silent, on_stderr=tell, cwd=project, env=env, check=False)
    if code:
        tail = "\n".join(f"  {line}" for line in lines[-12:])
        raise BaselineUnusable(f"its own build.py ended with {code}:\n{tail}", next_action="read the lines above")


@contextmanager
def _checked_out(revision: Revision) -> Iterator[Path]:
    """The project's folder in a worktree of the revision, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="prebake-baseline-") as parent:
        tree = Path(parent) / "tree"
        try:
            _check_out(revision, tree)
            yield tree / revision.folder
        finally:
            _git(revision.root, "worktree", "remove", "--force", str(tree))


def _check_out(revision: Revision, tree: Path) -> None:
    try:
        _git(revision.root, "worktree", "add", "--detach", "--quiet", str(tree), revision.commit, check=True)
    except CommandFailed as failed:
        raise BaselineUnusable(
            f"git cannot check out {revision.commit[:12]}: {failed.message.splitlines()[-1].strip()}",
            next_action="see `git worktree list`; a shallow or partial clone lacks files: `git fetch --unshallow`",
        ) from failed


def _git(root: Path, *words: str, check: bool = False) -> str | None:
    """The first line of git's output; None if it ended with an error, or raises CommandFailed with ``check``."""
    environ = {name: value for name, value in os.environ.items() if name not in HOOK_VARIABLES}
    command = ["git", *EMBEDDED_REFUSED, "-C", str(root), *words]
    done = subprocesses.run(command, env=environ, timeout=GIT_SECONDS, check=check, log=silent)
    return None if done.exit_code else done.stdout.strip()
