"""Folders as pip leaves them: packages written from text, each with the dist-info of a wheel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.repository import ROOT

CLEANUP = ROOT / "templates" / "cleanup"


@dataclass(frozen=True)
class Installed:
    """A package tree."""

    tree: Path

    def add(self, name: str, files: Mapping[str, str | bytes], entry_points: str = "") -> Installed:
        """Install a distribution of these files."""
        info = f"{name}-1.0.dist-info"
        whole = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"}
        if entry_points:
            whole[f"{info}/entry_points.txt"] = entry_points
        whole[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*whole, f"{info}/RECORD"])
        for path, content in whole.items():
            place = self.tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self

    def clean(self, *words: str) -> subprocess.CompletedProcess[str]:
        """As the packages stage does it."""
        command = [sys.executable, "-S", "-B", str(CLEANUP), str(self.tree), *words]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    def python(self, code: str) -> str:
        """Run code as the image runs it; what it printed, or its error."""
        command = [sys.executable, "-S", "-B", "-c", code]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(self.tree)},
            cwd=self.tree.parent,
        )
        return done.stdout.strip() if done.returncode == 0 else done.stderr.strip().splitlines()[-1]

    def has(self, path: str) -> bool:
        return (self.tree / path).exists()
