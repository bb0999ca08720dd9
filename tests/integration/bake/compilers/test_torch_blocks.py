"""Blocks compiled ahead: what a server does with libraries that fit, that do not, and that are damaged."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from entrypoints.components.opener import Opener
from entrypoints.errors import CompiledElsewhere
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from entrypoints.runtime.aotinductor import (
    CALL_FILE,
    LIBRARY_FILE,
    CallSignature,
    CompiledBlock,
    LibraryMismatch,
)
from entrypoints.runtime.compile_cache import find_torch_facts
from entrypoints.runtime.torch_network import (
    NetworkFiles,
    TorchSession,
    build_network,
    load_network,
)
from prebake.bake.compilers.aotinductor import CompiledBlocks, NotCompiled, compile_blocks, find_compiler
from prebake.bake.compilers.block_calls import compare_libraries
from prebake.bake.errors import BakeError
from prebake.bake.trials.cost_model import Cost, select
from prebake.documents.canonical import seal
from prebake.documents.component import Precision
from tests.gpu_check.compiled import artifact_of, check_ladder, read
from tests.support.bake.host_bake import bake_folder
from tests.support.container.baking import replace_file
from tests.support.container.running import Server, running
from tests.support.images.blocks.checkpoint import CONFIG, settings_for, write_checkpoint
from tests.support.images.blocks.export import VALUES
from tests.support.images.blocks.model_torch import Block, Blocks, build


@pytest.fixture(scope="module")
def baked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    """The folder, and what the compile stage reports of it."""
    if not find_compiler():
        pytest.skip("no C++ compiler")
    folder = tmp_path_factory.mktemp("ahead")
    settings = settings_for(write_checkpoint(folder / "checkpoint"), compiled="aot")
    report = bake_folder("blocks", folder / "checkpoint", settings, folder / "models", artifacts=True)
    return folder / "models", report


@pytest.fixture
def models(baked: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(baked[0], tmp_path / "models"))


def library(models: Path) -> Path:
    """The folder of the one that both blocks share."""
    return models / str(artifact_of(read(models))["libraries"][0]["folder"])


def change_manifest(models: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = read(models)
    change(manifest)
    (models / "manifest.json").write_bytes(seal(manifest))


def ask(server: Server, rows: int) -> list[list[float]]:
    answer = server.post(json={"values": ",".join(map(str, VALUES)), "rows": rows})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["y"])


def eager(models: Path, rows: int) -> list[list[float]]:
    parts = NetworkFiles(models, "net", "net/config.json", ("net/model.safetensors",))
    session = TorchSession(load_network(build_network(build, parts), parts, "cpu", "fp32"), ("y", "count"), "cpu")
    return list(session.run({"x": np.array([VALUES] * rows, np.float32)})["y"].tolist())


def opened(models: Path, timeline: Timeline, *, strict: bool = False) -> object:
    """The component, by the server's own parts in this process."""
    opener = Opener(models, read_manifest(models), timeline, None, strict=strict)
    opener.start(1)
    return opener.components.session("net")


def started(models: Path, folder: Path, **environ: str) -> Any:
    """Without a compiler, and where nothing can be written: what is opened is what lies in the image."""
    return running(models, folder, {"PATH": "/nowhere", "TORCHINDUCTOR_CACHE_DIR": "/nowhere", **environ})


def test_libraries_hold_no_weights_and_equal_blocks_share_one(baked: tuple[Path, Mapping[str, Any]]) -> None:
    models, report = baked
    manifest = read(models)
    artifact = artifact_of(manifest)
    home = f"compiled/net/aot-{artifact['key'][:12]}"
    assert artifact["libraries"] == [{"folder": f"{home}/0", "blocks": [0, 1]}]
    assert set(artifact["byte_ranges"]) == {f"{home}/0/{LIBRARY_FILE}", f"{home}/0/{CALL_FILE}"}
    assert all(manifest["files"][file]["origin"] == "compiled" for file in artifact["byte_ranges"])
    weights = load_file(models / "net/model.safetensors")["net.layers.0.inner.weight"]
    assert weights[0].numpy().tobytes() not in (library(models) / LIBRARY_FILE).read_bytes()
    (told,) = report["artifacts"]
    assert (told["component"], told["name"], told["key"], told["kept"]) == ("net", "aot", artifact["key"], True)
    assert told["requires"] == artifact["requires"] == find_torch_facts("cpu")
    assert told["bytes"] == sum(manifest["files"][file]["size"] for file in artifact["byte_ranges"])
    assert told["choice"] == artifact["choice"]
    assert set(told["choice"]["candidates"]) == {"eager", "aot"}
    assert all(seconds["first"] > 0 and seconds["later"] > 0 for seconds in told["choice"]["candidates"].values())
    assert told["choice"]["candidates"]["aot"]["bytes"] == told["bytes"]


def test_a_container_without_a_compiler_computes_by_them(models: Path, tmp_path: Path) -> None:
    with started(models, tmp_path, PREBAKE_FALLBACK="error") as server:
        startup = server.wait_for("ready", patience=120).get("/startup").json()
        assert (startup["opened"], startup["fallbacks"], startup["notices"]) == ({"net": "aot"}, [], [])
        np.testing.assert_allclose(ask(server, 7), eager(models, 7), rtol=1e-5, atol=1e-5)
        assert server.get("/health").json()["fallbacks"] == []
        # a size that is computed in another way, and was not compiled for: told, and answered all the same
        np.testing.assert_allclose(ask(server, 1), eager(models, 1), rtol=1e-5, atol=1e-5)
        (step,) = server.get("/health").json()["fallbacks"]
    assert (step["component"], step["from"], step["to"], step["reason"]) == ("net", "aot", "eager", "input")
    assert "[1, 16]" in step["detail"]


def test_another_machine_steps_down_or_ends(models: Path, tmp_path: Path) -> None:
    change_manifest(models, lambda manifest: artifact_of(manifest)["requires"].update(torch="1.0", capability="VSX"))
    with started(models, tmp_path) as server:
        startup = server.wait_for("ready", patience=120).get("/startup").json()
        metrics = server.get("/metrics").text
    (step,) = startup["fallbacks"]
    assert (startup["opened"], step["reason"]) == ({"net": "eager"}, "field")
    assert f"torch: compiled for 1.0, here {torch.__version__}" in step["detail"]
    assert "capability: compiled for VSX" in step["detail"]
    assert 'prebake_fallbacks_total{component="net",from="aot",to="eager",reason="field"} 1' in metrics
    with pytest.raises(CompiledElsewhere, match=r"net: aot: capability: compiled for VSX"):
        opened(models, Timeline(), strict=True)


def test_of_several_machines_libraries_a_start_opens_its_own_and_tells_no_step(models: Path) -> None:
    def add_others(manifest: dict[str, Any]) -> None:
        own = artifact_of(manifest)
        others = [
            {**own, "requires": {**own["requires"], "capability": name}, "key": "2" * 64} for name in ("VSX", "SVE")
        ]
        manifest["components"]["net"]["artifacts"] = [others[0], own, others[1]]

    change_manifest(models, add_others)
    timeline = Timeline()
    opened(models, timeline, strict=True)
    assert (timeline.opened, timeline.fallbacks) == ({"net": "aot"}, [])


def test_each_field_alone_is_enough_to_step_down_or_end(models: Path) -> None:
    findings = list(check_ladder(models, "aot"))
    fields = artifact_of(read(models))["requires"]
    assert len(findings) == 2 * len(fields) > 0
    assert [str(finding) for finding in findings if not finding.held] == []


@pytest.mark.parametrize("verify", ["full", "sizes"])
def test_a_flipped_byte_is_refused_or_told_and_never_run(models: Path, tmp_path: Path, verify: str) -> None:
    draw = random.Random(verify)
    path = library(models) / draw.choice([LIBRARY_FILE, CALL_FILE])
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    with started(models, tmp_path, PREBAKE_VERIFY=verify, PREBAKE_FAILURE_EXIT_DELAY="3") as server:
        if verify == "full":
            assert path.name in server.wait_for("failed", patience=120).get("/health").json()["reason"]
            assert server.wait() == 73
            return
        startup = server.wait_for("ready", patience=120).get("/startup").json()
        np.testing.assert_allclose(ask(server, 7), eager(models, 7), rtol=1e-5, atol=1e-5)
    (step,) = startup["fallbacks"]
    assert (step["from"], step["to"], step["reason"]) == ("aot", "eager", "open")
    assert f"{path.name}: corrupt" in step["detail"]


@pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF" + bytes(200)])
def test_what_is_no_library_is_told_and_not_served_with(models: Path, content: bytes) -> None:
    folder = library(models)
    replace_file(models, read(models), str((folder / LIBRARY_FILE).relative_to(models)), content)
    block = Blocks(**CONFIG).layers[0]
    with pytest.raises(LibraryMismatch):
        CompiledBlock(block, folder, "cpu", pytest.fail)
    timeline = Timeline()
    opened(models, timeline)
    (step,) = timeline.fallbacks
    assert (step["to"], step["reason"]) == ("eager", "open")


def test_a_library_reads_the_weights_where_they_are(models: Path) -> None:
    block = Blocks(**CONFIG).eval().requires_grad_(requires_grad=False).layers[0]
    assert isinstance(block, Block)
    compiled, x = CompiledBlock(block, library(models), "cpu", pytest.fail), torch.ones(3, 16)
    before = compiled(x)
    block.inner.weight.mul_(2)
    assert not torch.allclose(compiled(x), before)
    torch.testing.assert_close(compiled(x), block(x))


def test_a_library_of_another_network_does_not_open(models: Path) -> None:
    with pytest.raises(LibraryMismatch, match="KeyError"):
        CompiledBlock(torch.nn.Linear(16, 16), library(models), "cpu", pytest.fail)


def test_what_computes_something_else_is_found(models: Path) -> None:
    """A library of blocks like these, called with another's weights gives another's answer: the comparison has to see it."""
    torch.manual_seed(5)
    blocks = [layer.eval().requires_grad_(requires_grad=False) for layer in Blocks(**CONFIG).layers]
    calls = {0: {"x": torch.randn(3, 16)}}
    made = [CompiledBlocks(library(models), (0,))]
    assert all(finding.passed for finding in compare_libraries("net", blocks, calls, made, Precision()))

    block = blocks[0]
    assert isinstance(block, Block)

    class Other(torch.nn.Module):
        def __init__(self, block: Block) -> None:
            super().__init__()
            self.inner, self.outer = block.inner, block.outer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = x + self.outer(torch.nn.functional.silu(self.inner(x)))
            return out

    assert not all(finding.passed for finding in compare_libraries("net", [Other(block)], calls, made, Precision()))


def test_blocks_that_cannot_be_compiled_say_why(tmp_path: Path) -> None:
    class Branching(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1 if x.sum() > 0 else x - 1

    class Nameless(torch.nn.Module):
        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            return tensors[0]

    for block in (Branching(), Nameless()):
        with pytest.raises(NotCompiled, match=type(block).__name__):
            compile_blocks([block], {0: {"x": torch.ones(3, 4)}}, tmp_path / "made")


def test_what_cannot_be_compiled_fails_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    settings = settings_for(write_checkpoint(tmp_path / "checkpoint"), compiled="aot")
    with pytest.raises(BakeError, match="aot: this machine has no C\\+\\+ compiler"):
        bake_folder("blocks", tmp_path / "checkpoint", settings, tmp_path / "models", artifacts=True)
    settings = settings_for(tmp_path / "checkpoint", compiled="none")
    with pytest.raises(BakeError, match="`compiled` is none"):
        bake_folder("blocks", tmp_path / "checkpoint", settings, tmp_path / "again", artifacts=True)


@pytest.mark.parametrize(
    ("figures", "chosen"),
    [
        ({"eager": (0.0, 1.0)}, "eager"),
        ({"eager": (0.0, 1.0), "aot": (0.5, 0.5), "compile-cache": (0.7, 0.1)}, "compile-cache"),
        ({"eager": (0.0, 1.0), "aot": (0.1, 0.5), "compile-cache": (0.5, 0.5)}, "aot"),
        ({"eager": (0.0, 1.0), "aot": (2.0, 0.5)}, "aot"),
        ({"eager": (0.0, 1.0), "aot": (9.0, 0.1)}, "eager"),
        ({"eager": (0.0, 1.0), "aot": (0.0, 0.98)}, "eager"),
    ],
)
def test_what_gives_ten_answers_soonest_is_kept(figures: dict[str, tuple[float, float]], chosen: str) -> None:
    """Seconds to open, and of an answer."""
    assert select({form: Cost(opened, each, each) for form, (opened, each) in figures.items()}) == chosen


def test_a_call_is_what_was_compiled_for_in_every_respect() -> None:
    call = CallSignature(
        ({"dtype": "torch.float32", "device": "cpu", "dims": [[2, 8], 4]}, {"value": 3}),
        ("L['x'].size()[0] % 2 == 0",),
    )
    fitting = torch.zeros(4, 4)
    assert call.find_difference({"x": fitting}, [fitting, 3]) == ""
    for x, number in (
        (torch.zeros(4, 4, dtype=torch.float64), 3),
        (torch.zeros(4, 5), 3),
        (torch.zeros(4), 3),
        (torch.zeros(10, 4), 3),
        (torch.zeros(1, 4), 3),
        (torch.zeros(3, 4), 3),
        (torch.zeros(4, 4), 4),
        (torch.zeros(4, 4), True),
        (torch.zeros(4, 4), torch.tensor(3)),
    ):
        assert call.find_difference({"x": x}, [x, number]) != ""
    assert call.find_difference({"x": fitting}, [fitting]) != ""
