"""What must fail a build does, and says where."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prebake.bake.__main__ import main
from prebake.bake.authoring import Bake
from prebake.bake.errors import BakeError, ParityFailed, from_document
from prebake.bake.model_folder.manifest import merge_ranges
from prebake.bake.stages.compile_graphs import compile_image
from prebake.bake.weights.numpy_arrays import read_arrays, write_arrays
from prebake.documents.component import ComponentSettings, Precision, SessionSettings
from prebake.documents.settings import StageSettings
from prebake.documents.stage_error import StageError
from prebake.errors import ChecksumMismatch, SettingsInvalid
from tests.support.repository import ROOT


@pytest.fixture
def stage(exported: Path, checkpoint: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the export to spoil, and the folder that the compile stage finds at /models."""
    copy = Path(shutil.copytree(exported, tmp_path / "exported"))
    final = Path(shutil.copytree(checkpoint / "words", tmp_path / "models/words")).parent
    shutil.copytree(exported / "derived", final, dirs_exist_ok=True)
    return copy, final


def spoil(case: Path, change: Callable[[Any], Any]) -> None:
    arrays = read_arrays(case)
    write_arrays(case, {name: change(each) if name.startswith("outputs/") else each for name, each in arrays.items()})


def test_every_difference_is_reported_at_once(
    stage: tuple[Path, Path], settings: StageSettings, tmp_path: Path
) -> None:
    copy, final = stage
    spoil(copy / "cases/words/1.safetensors", lambda each: each + np.float32(0.5))
    spoil(copy / "cases/sound/0.safetensors", lambda each: each[..., :3])
    with pytest.raises(ParityFailed) as caught:
        compile_image(settings, copy, final, tmp_path / "out")
    assert [problem.where for problem in caught.value.problems] == [
        "sound, case 1, output 'y'",
        "words, case 2, output 'scores'",
    ]
    assert "differs by up to 0.5, above the tolerance of 0.000263 (0.0001 of the output's" in str(caught.value)
    assert not (tmp_path / "out/models/manifest.json").exists()


def test_a_silently_fixed_shape_is_a_difference(settings: StageSettings, tmp_path: Path) -> None:
    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float(x.shape[1])

    bake = Bake(replace(settings, ship=(), components={"c": ComponentSettings()}), tmp_path, tmp_path / "exported")
    # No axis is declared dynamic, so the first case's shape becomes the graph's.
    bake.graph("c", Fixed().eval(), [{"x": torch.ones(2, 3)}, {"x": torch.ones(2, 5)}], ["y"])
    bake.reference({}, b"", "text/plain", 0)
    bake.finish()
    with pytest.raises(ParityFailed, match=r"c, case 2, output 'y': cannot be computed"):
        compile_image(bake.settings, tmp_path / "exported", tmp_path / "models", tmp_path / "out")


def test_a_weight_file_that_is_not_the_locks_is_refused(
    stage: tuple[Path, Path], settings: StageSettings, tmp_path: Path
) -> None:
    copy, final = stage
    path = final / "words/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumMismatch, match=r"words/model\.safetensors"):
        compile_image(settings, copy, final, tmp_path / "out")


def test_an_unfinished_export_is_refused(stage: tuple[Path, Path], settings: StageSettings, tmp_path: Path) -> None:
    copy, final = stage
    (copy / "exported.json").unlink()
    with pytest.raises(BakeError, match="no complete export"):
        compile_image(settings, copy, final, tmp_path / "out")


def test_a_provider_that_no_graph_is_made_for_is_refused(
    stage: tuple[Path, Path], settings: StageSettings, tmp_path: Path
) -> None:
    copy, final = stage
    components = {name: ComponentSettings(providers=("DmlExecutionProvider",)) for name in settings.components}
    with pytest.raises(BakeError, match="Prebake makes no graphs for DmlExecutionProvider"):
        compile_image(replace(settings, components=components), copy, final, tmp_path / "out")


def test_a_tolerance_of_one_output_loosens_no_other(settings: StageSettings, tmp_path: Path) -> None:
    class Both(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x * 1000, x / 1000

    bake = Bake(replace(settings, ship=(), components={"c": ComponentSettings()}), tmp_path, tmp_path / "exported")
    cases = [{"x": torch.ones(2, 3)}, {"x": torch.ones(4, 3)}]
    bake.graph("c", Both().eval(), cases, ["large", "small"], {"x": {0: "rows"}}, tolerance={"large": 1.0})
    bake.reference({}, b"", "text/plain", 0)
    bake.finish()
    for number in (0, 1):
        spoil(tmp_path / f"exported/cases/c/{number}.safetensors", lambda each: each + np.float32(0.5))
    with pytest.raises(ParityFailed) as caught:
        compile_image(bake.settings, tmp_path / "exported", tmp_path / "models", tmp_path / "out")
    assert [problem.where for problem in caught.value.problems] == [f"c, case {n}, output 'small'" for n in (1, 2)]
    assert (
        "differs by up to 0.5, above the tolerance of 1e-07 (0.0001 of the output's largest number 0.001 plus 8 times"
        in str(caught.value)
    )


class Double(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


TWO = [{"x": torch.ones(2, 3)}, {"x": torch.ones(4, 3)}]
WRONG: dict[str, tuple[Callable[[Bake], object], str]] = {
    "unknown component": (lambda bake: bake.graph("voice", Double().eval(), TWO, ["y"]), "no component 'voice'"),
    "training": (lambda bake: bake.graph("words", Double(), TWO, ["y"]), "training mode"),
    "one case": (lambda bake: bake.graph("words", Double().eval(), TWO[:1], ["y"]), "two cases"),
    "one shape": (
        lambda bake: bake.graph("words", Double().eval(), [TWO[0], TWO[0]], ["y"], {"x": {0: "batch"}}),
        "same shape",
    ),
    "unnamed output": (
        lambda bake: bake.graph("words", Double().eval(), TWO, ["y", "z"]),
        "1 outputs, but .* 2 names",
    ),
    "tolerance of nothing": (
        lambda bake: bake.graph("words", Double().eval(), TWO, ["y"], tolerance={"z": 1e-3}),
        "names 'z', which is not an output",
    ),
    "fp32 for nothing": (
        lambda bake: bake.graph("words", Double().eval(), TWO, ["y"], keep_in_fp32=["x", "speeds"]),
        "keep_in_fp32 names 'speeds', which is not an input, parameter or buffer",
    ),
    "not finite": (
        lambda bake: bake.graph("words", Double().eval(), [{"x": torch.full((2, 3), torch.inf)}, TWO[1]], ["y"]),
        "not finite",
    ),
    "published": (lambda bake: bake.convert("words", {}), "exists already"),
    "outside": (lambda bake: bake.asset("../etc/passwd", b""), "cannot be a file below /models"),
    "absolute": (lambda bake: bake.asset("/etc/passwd", b""), "cannot be a file below /models"),
    "manifest": (lambda bake: bake.asset("manifest.json", b""), "cannot be a file below /models"),
    "nothing": (lambda bake: bake.finish(), "lacks a graph of 'sound', a graph of 'words', a warm-up request"),
}


@pytest.mark.parametrize(("act", "said"), WRONG.values(), ids=WRONG)
def test_an_export_that_cannot_be_baked_says_so(
    act: Callable[[Bake], object], said: str, settings: StageSettings, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(BakeError, match=said):
        act(Bake(settings, checkpoint, tmp_path / "out"))


def test_an_export_into_a_used_folder_is_refused(settings: StageSettings, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    with pytest.raises(BakeError, match="not empty"):
        Bake(settings, checkpoint, tmp_path)


def test_the_command_gives_the_errors_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "settings.json").write_text('{"schema": 2, "image": 3}')
    options = ["--settings", str(tmp_path / "settings.json"), "--out", str(tmp_path / "out")]
    assert main(["compile", *options, "--exported", str(tmp_path), "--models", str(tmp_path)]) == 26
    said = capsys.readouterr().err
    assert "components: missing" in said
    assert "module: missing" in said
    error = from_document(StageError.load(tmp_path / "out"), 26)
    assert isinstance(error, SettingsInvalid)
    assert {problem.where for problem in error.problems} >= {"components", "module"}


def test_settings_come_back(settings: StageSettings) -> None:
    full = replace(
        settings,
        warmup_tolerance=0.5,
        components={
            "words": ComponentSettings(
                Precision("int8", 0.1, calibration="set.npz"),
                ("CUDAExecutionProvider",),
                SessionSettings(prepack=True),
                "w",
            )
        },
    )
    assert StageSettings.from_json(full.to_json()) == full


def test_every_fault_of_the_settings_is_named(settings: StageSettings) -> None:
    document = json.loads(settings.to_json())
    document |= {"colour": 1, "limits": {"queue": True}, "ship": [{"path": "a"}]}
    document["components"]["words"]["session"] = {"optimize": "all"}
    with pytest.raises(SettingsInvalid) as caught:
        StageSettings.from_json(json.dumps(document).encode())
    where = {problem.where for problem in caught.value.problems}
    wanted = {"colour", "limits.queue", "ship[0].size", "ship[0].sha256", "components.words.session.optimize"}
    assert wanted == where


@pytest.mark.parametrize(
    ("ranges", "merged"),
    [
        ([], []),
        ([(10, 5), (0, 10)], [[0, 15]]),
        ([(0, 10), (14, 2)], [[0, 16]]),
        ([(0, 10), (15, 2)], [[0, 10], [15, 2]]),
        ([(0, 100), (5, 2), (100, 1)], [[0, 101]]),
    ],
)
def test_ranges_merge(ranges: list[tuple[int, int]], merged: list[list[int]]) -> None:
    assert merge_ranges(ranges, gap=4) == merged


def test_the_compile_stage_imports_no_torch() -> None:
    code = "import sys, prebake.bake.stages.compile_graphs, prebake.bake.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
