"""Files that were moved out of the tree, and can be put back."""

from __future__ import annotations

from pathlib import Path


class RemovedFiles:
    """Files of a tree that were moved to an empty folder ``aside`` on the same file system, and can be put back."""

    def __init__(self, tree: Path, aside: Path) -> None:
        self._tree = tree
        self._aside = aside
        self._taken: dict[str, Path] = {}

    def remove(self, path: str) -> Path:
        """Move a file or folder of the tree (by its path below it) aside. Returns its new path."""
        place = self._aside / str(len(self._taken))
        (self._tree / path).rename(place)
        self._taken[path] = place
        return place

    def put_back_of(self, tops: set[str]) -> list[str]:
        """Put back the files of these top-level packages. Returns their paths."""
        return self._put_back([path for path in self._taken if path.partition("/")[0].partition(".")[0] in tops])

    def put_back_all(self) -> list[str]:
        return self._put_back(list(self._taken))

    def _put_back(self, paths: list[str]) -> list[str]:
        for path in paths:
            target = self._tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._taken.pop(path).replace(target)
        return paths
