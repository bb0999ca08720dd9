"""The text of a project's file, or the problem why it has none."""

from __future__ import annotations

from pathlib import Path

from prebake.errors import Problem


def read_text(path: Path, where: str) -> tuple[str | None, list[Problem]]:
    """The text with its line ends as they are. Raises OSError if the file may not be read or the disk fails."""
    if not path.is_file():
        return None, [Problem(where, _describe_other(path))]
    try:
        return path.read_bytes().decode(), []
    except UnicodeDecodeError as error:
        return None, [Problem(f"{where}:1", f"is not UTF-8: {error.reason} at byte {error.start}")]


def _describe_other(path: Path) -> str:
    if path.is_dir():
        return "is a folder, not a file"
    if path.exists():
        return "is not a regular file"
    if path.is_symlink():
        return "is a link to a file that does not exist, or to itself"
    return "is missing"
