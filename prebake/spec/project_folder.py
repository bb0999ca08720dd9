"""The folder of a project, found by its ``images/*/image.yaml``; no file is read."""

from __future__ import annotations

from pathlib import Path

from prebake.errors import UnknownImage


def find_root(start: Path) -> Path:
    """The nearest folder from ``start`` upwards that holds ``images/*/image.yaml``. Raises UnknownImage."""
    places = (start.resolve(), *start.resolve().parents)
    if found := next((place for place in places if list_images(place)), None):
        return found
    raise UnknownImage(
        f"There is no project here: no images/*/image.yaml in {', '.join(map(str, places))}.",
        next_action="change into a project's folder or pass `--project DIR`; `prebake init NAME --from PATH` creates one",
    )


def list_images(root: Path) -> list[str]:
    """The sorted names of the project's images."""
    return sorted(path.parent.name for path in (root / "images").glob("*/image.yaml"))
