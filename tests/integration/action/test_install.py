"""The installation, in a checkout whose files have the names of Python's own modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.repository import ROOT


def test_no_module_of_the_checkout_is_imported(tmp_path: Path) -> None:
    checkout, programs = tmp_path / "checkout", tmp_path / "programs"
    checkout.mkdir()
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    for name in ("venv", "pip", "sys", "ensurepip"):
        (checkout / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')")
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    command = ["bash", str(ROOT / "tools/action/install.sh"), str(tmp_path / "environment")]
    ended = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert "No matching distribution" in ended.stderr  # pip itself ran, and has no index here
