"""Files that image.yaml names and the image's folder lacks: all of them at once, each at its line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from prebake.errors import SpecInvalid
from prebake.spec.project import read_project
from tests.support.repository import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "images" / "minilm"
    shutil.copytree(ROOT / "images/minilm", place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def faults(folder: Path) -> list[str]:
    with pytest.raises(SpecInvalid) as refused:
        read_project(folder.parents[1], "minilm")
    return [str(problem) for problem in refused.value.problems]


def line_of(folder: Path, text: str) -> int:
    lines = (folder / "image.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_every_missing_file_is_named_at_its_line(folder: Path) -> None:
    path = folder / "image.yaml"
    text = path.read_text().replace(
        "prepack: false}", "prepack: false}, precision: {type: int8, activations: static, calibration: set.npz}"
    )
    path.write_text(text + "notices: [GONE]\n")
    for name in ("texts.py", "naive.py"):
        (folder / name).unlink()
    where = "images/minilm/image.yaml"
    serve, export = line_of(folder, "serve: ["), line_of(folder, "export: [")
    assert faults(folder) == [
        f"{where}:{serve} code.serve[1]: 'texts.py' matches no file",
        f"{where}:{export} code.export[1]: 'naive.py' matches no file",
        f"{where}:{export} code.export[3]: 'texts.py' matches no file",
        f"{where}:{line_of(folder, 'set.npz')} components.minilm.precision.calibration: 'set.npz' matches no file",
        f"{where}:{line_of(folder, 'GONE')} notices[0]: 'GONE' matches no file",
    ]


def test_another_name_than_the_folder_s_is_told_at_its_line(folder: Path) -> None:
    path = folder / "image.yaml"
    path.write_text(path.read_text().replace("name: minilm", "name: maxilm", 1))
    place = f"images/minilm/image.yaml:{line_of(folder, 'name: maxilm')} name"
    assert faults(folder) == [f"{place}: is 'maxilm', but the folder's name is 'minilm' (write minilm)"]
