from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.wheels import Installed


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    (tmp_path / "tree").mkdir()
    return Installed(tmp_path / "tree")
