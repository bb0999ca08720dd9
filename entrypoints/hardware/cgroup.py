"""The control groups of this process, which hold the limits of its container: version 1, version 2, or both (cgroups(7)).

A controller (``cpu``, ``memory``, ``pids``) belongs to one hierarchy. In version 1 each has its own below ``/sys/fs/cgroup``; in
version 2 all share one. A hybrid machine has both, version 2 at ``unified``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
NO_LIMIT = 1 << 60
"""Version 1 writes the absence of a limit as the largest number of its pages, close to 2**63 bytes."""


class Group(NamedTuple):
    """``levels``: the group's folder, then its parents up to the root of what is mounted here. A limit of every level counts: a
    Pod's may be set on the parent of the container's group."""

    version: int
    levels: tuple[Path, ...]

    def read(self, name: str) -> str:
        """A file of the group itself; empty if it cannot be read."""
        return read_text(self.levels[0] / name)

    def read_number(self, name: str) -> int | None:
        """None if the group has no such file, or no number in it."""
        return parse_limit(self.read(name))

    def read_field(self, name: str, field: str) -> int | None:
        """One number of a file of the group that has a name and a number in each line."""
        pairs = (line.split() for line in self.read(name).splitlines())
        return next((parse_limit(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == field), None)

    def find_smallest(self, name: str) -> int | None:
        """The smallest number in this file of any level; None if there is none."""
        found = (parse_limit(read_text(level / name)) for level in self.levels)
        return min((number for number in found if number is not None), default=None)


def find_group(controller: str, root: Path = ROOT, membership: Path = MEMBERSHIP) -> Group:
    """This process's group for a controller. If nothing is mounted here, its files cannot be read, so that it has no limits."""
    unified = ""
    for hierarchy, controllers, path in read_memberships(membership):
        if controller in controllers.split(",") and (folder := find_mount(controller, root)):
            return Group(1, find_levels(folder, path))
        if hierarchy == "0":
            unified = path
    folder = root / "unified"
    return Group(2, find_levels(folder if folder.is_dir() else root, unified))


def read_memberships(membership: Path) -> Iterator[tuple[str, str, str]]:
    """Number of the hierarchy, controllers, and path of the group, for each hierarchy."""
    for line in read_text(membership).splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        yield hierarchy, controllers, path


def find_mount(controller: str, root: Path) -> Path | None:
    """The folder of a controller of version 1. Controllers that share a hierarchy share a folder: ``cpu,cpuacct``."""
    try:
        names = [folder.name for folder in root.iterdir()]
    except OSError:
        return None
    shared = (name for name in sorted(names) if controller in name.split(","))
    found = controller if controller in names else next(shared, None)
    return root / found if found else None


def find_levels(mount: Path, path: str) -> tuple[Path, ...]:
    """The folders of the group ``path``, and of its parents, below ``mount``.

    What is mounted in a container may begin at any level of the path, most often at the container's group, so that the longest
    end of the path counts that exists here. In a cgroup namespace the path is ``/``; one with ``..`` leads out of it.
    """
    parts = [part for part in path.split("/") if part]
    while parts and (".." in parts or not mount.joinpath(*parts).is_dir()):
        del parts[0]
    return tuple(mount.joinpath(*parts[:length]) for length in range(len(parts), -1, -1))


def read_text(path: Path) -> str:
    """Empty if it cannot be read."""
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def parse_limit(text: str) -> int | None:
    """None for ``max``, for version 1's largest number, and for text that is no number."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if 0 <= number < NO_LIMIT else None
