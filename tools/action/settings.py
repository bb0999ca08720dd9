"""The checked inputs of the action, which its first step writes to a file for the other steps."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """``project`` and ``folder`` (for files of this run) are absolute paths. ``repository`` is the place of the model's image,
    without a tag, or empty. Empty texts stand for inputs that were not given."""

    model: str
    target: str
    checkpoint: str
    project: str
    repository: str
    baseline: str
    missing_baseline: str
    max_regression: str
    max_ttfi: str
    max_image_size: str
    max_pairs: str
    state: str
    network: str
    unclear: str
    comment: bool
    push: bool
    cache_from: tuple[str, ...]
    folder: str

    @property
    def image_words(self) -> list[str]:
        """The image, as words of a command line."""
        checkpoint = [f"--checkpoint={self.checkpoint}"] if self.checkpoint else []
        return [self.model, f"--target={self.target}", *checkpoint, f"--project={self.project}"]

    @property
    def cache_words(self) -> list[str]:
        return [f"--cache-from={each}" for each in self.cache_from]

    def file(self, name: str) -> Path:
        return Path(self.folder) / name

    def result(self, name: str) -> Path:
        """A file that ``prebake bench`` writes."""
        return Path(self.project) / "build" / "bench" / f"{self.model}-gate{name}"

    @property
    def results(self) -> list[Path]:
        """All files that ``prebake bench`` writes. They are named one by one: a pattern would upload what the commit has beside
        them, such as links to the runner's own files."""
        return [self.result(suffix) for suffix in (".json", ".md", ".html", "-action.json")]

    def report(self) -> dict[str, Any]:
        """The report of the latest build; empty if there is none."""
        return read_json(Path(self.project) / "build" / self.model / "report.json")


def read_settings() -> Settings:
    """Raises KeyError outside of the action, if SETTINGS does not name the file."""
    values = json.loads(Path(os.environ["SETTINGS"]).read_text(encoding="utf-8"))
    return Settings(**{**values, "cache_from": tuple(values["cache_from"])})


def write_settings(settings: Settings) -> Path:
    path = settings.file("settings.json")
    path.write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is no such file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
