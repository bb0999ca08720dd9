"""From a graph to an engine to an answer: made by the bake, opened by the container, refused where it does not fit."""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

import onnx
import pytest

from entrypoints.components.opener import Opener
from entrypoints.errors import DamagedFile
from entrypoints.files.verification import Verification
from entrypoints.hardware.facts import find_facts
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from prebake.bake.compilers.compiled_artifact import CompiledGraph
from prebake.bake.compilers.engine import EngineVariant, compile_engine
from prebake.bake.compilers.tensorrt import tensorrt_variant
from prebake.bake.errors import BakeError
from prebake.bake.graphs.provider_options import GraphTraits
from prebake.documents.artifact import ARTIFACT_FILE as DESCRIPTION
from prebake.documents.canonical import digest_json
from tests.support.container.baking import answer, describe_file, write_manifest
from tests.support.container.nvidia import build_libraries
from tests.support.container.plugin import NAME, OPTIONS
from tests.support.container.pooled import bake_pooled, bucket_phases, make_pairs
from tests.support.container.running import Server, Start, running, wait_until
from tests.support.repository import ROOT

WEIGHTS = "linear/model.bin"


def fix_batch(models: Path, manifest: dict[str, Any]) -> None:
    """One row at a time: what an engine without a profile of shapes takes."""
    path = models / "linear/model.onnx"
    graph = onnx.load(path, load_external_data=False)
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    path.write_bytes(graph.SerializeToString())
    manifest["files"]["linear/model.onnx"] = describe_file(path.read_bytes())


def compiler(**changes: Any) -> EngineVariant:
    return EngineVariant(
        **{
            "provider": NAME,
            "candidate": "engine",
            "compiling": OPTIONS,
            "serving": OPTIONS,
            "requires": find_facts(NAME),
            **changes,
        }
    )


def make(models: Path, component: str = "linear", **changes: Any) -> CompiledGraph:
    out = models.parent / f"made-{uuid.uuid4().hex}"
    out.mkdir()
    return compile_engine(component, models / f"{component}/model.onnx", compiler(**changes), out, out)


@pytest.fixture
def artifact(plugin: Path, models: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """An engine of ``linear``, and the manifest that has it."""
    fix_batch(models, manifest)
    made = make(models)
    found = made.describe("linear", {})
    found.write(made.folder, models)
    (models / found.entry["graph"]).with_name(DESCRIPTION).unlink()
    manifest["files"] |= found.files
    entry = dict(found.entry)
    manifest["components"]["linear"]["artifacts"] = [entry]
    write_manifest(models, manifest)
    return entry


@pytest.fixture
def begin(plugin: Path, start: Start) -> Start:
    """Start a server whose ONNX Runtime has the provider."""
    return lambda **environ: start(PYTHONPATH=f"{plugin}:{ROOT}", **environ)


def ask(server: Server) -> list[float]:
    return list(server.post(json={"values": "1,2,3,4", "factor": 3}).json()["result"])


def flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def test_an_engine_is_opened_and_answers_rightly_and_nothing_is_written(
    artifact: dict[str, Any], models: Path, begin: Start
) -> None:
    files = {path for path in models.rglob("*") if path.is_file()}
    for path in (*models.rglob("*"), models):
        path.chmod(0o555 if path.is_dir() else 0o444)
    server = begin(PREBAKE_FALLBACK="error").wait_for("ready")
    assert server.get("/startup").json()["opened"] == {"linear": "engine", "total": "cpu"}
    assert server.get("/health").json()["fallbacks"] == []
    assert ask(server) == pytest.approx(answer(3))
    assert {path for path in models.rglob("*") if path.is_file()} == files


def test_an_engine_of_another_version_is_told_and_the_graph_answers(
    artifact: dict[str, Any], models: Path, manifest: dict[str, Any], begin: Start
) -> None:
    here = artifact["requires"]["provider"]
    artifact["requires"] = {**artifact["requires"], "provider": "0.0.1"}
    write_manifest(models, manifest)
    server = begin().wait_for("ready")
    (step,) = server.get("/health").json()["fallbacks"]
    assert (step["from"], step["to"], step["reason"]) == ("engine", "cpu", "field")
    assert step["detail"] == f"provider: compiled for 0.0.1, here {here}"
    assert ask(server) == pytest.approx(answer(3))


def test_where_the_provider_is_not_there_the_graph_answers(artifact: dict[str, Any], start: Start) -> None:
    server = start().wait_for("ready")
    (step,) = server.get("/health").json()["fallbacks"]
    assert step["reason"] == "provider"
    assert NAME in step["detail"]
    assert ask(server) == pytest.approx(answer(3))


def test_a_file_beside_the_engine_is_a_fault(artifact: dict[str, Any], models: Path, begin: Start) -> None:
    server = begin(TINY_REBUILT=str((models / artifact["graph"]).with_name("engine.new"))).wait_for("failed")
    assert server.wait() == 80


def test_a_graph_in_an_engines_place_is_never_compiled_at_start(
    artifact: dict[str, Any], models: Path, manifest: dict[str, Any], begin: Start
) -> None:
    """ONNX Runtime would compile it there and then, in a time that nobody accounts for."""
    place = models / artifact["graph"]
    place.write_bytes((models / "linear/model.onnx").read_bytes())
    place.with_name("model.bin").write_bytes((models / WEIGHTS).read_bytes())
    for name in (artifact["graph"], f"{place.parent.relative_to(models)}/model.bin"):
        manifest["files"][name] = {**describe_file((models / name).read_bytes()), "origin": "compiled"}
    write_manifest(models, manifest)
    (step,) = begin().wait_for("ready").get("/health").json()["fallbacks"]
    assert (step["from"], step["reason"]) == ("engine", "open")


@pytest.mark.parametrize("seed", range(40))
def test_damage_is_found_before_an_engine_is_opened(artifact: dict[str, Any], models: Path, seed: int) -> None:
    draw = random.Random(seed)
    damaged = draw.choice([artifact["graph"], *artifact["byte_ranges"]])
    flip(models / damaged, draw)
    manifest = read_manifest(models)
    verification = Verification(models, manifest)
    opener = Opener(models, manifest, Timeline(), verification)
    verification.add_threads(1)
    opener.start(1)
    with pytest.raises(DamagedFile, match=damaged):
        opener.components.session("linear")


@pytest.mark.parametrize("seed", range(6))
def test_damage_that_nobody_looked_for_gives_no_wrong_answer(
    artifact: dict[str, Any], models: Path, manifest: dict[str, Any], begin: Start, seed: int
) -> None:
    draw = random.Random(seed)
    flip(models / draw.choice([artifact["graph"], *artifact["byte_ranges"]]), draw)
    server = begin(PREBAKE_VERIFY="sizes")
    if server.wait_until_settled() == "failed":
        assert server.wait() in (73, 74, 75, 76)
        return
    assert ask(server) == pytest.approx(answer(3), abs=2 * manifest["warmup"]["tolerance"])


def test_a_key_follows_from_each_of_its_fields(plugin: Path, models: Path, manifest: dict[str, Any]) -> None:
    fix_batch(models, manifest)
    facts = find_facts(NAME)

    def key(**changes: Any) -> str:
        return digest_json(make(models, **changes).key_fields({}))

    keys = [
        key(),
        key(candidate="other"),
        key(serving={}),
        key(compiling={**OPTIONS, "soc_model": "43"}),
        key(requires={**facts, "provider": "0"}),
    ]
    assert key() == keys[0]
    assert len(set(keys)) == len(keys)


def test_a_graph_that_the_provider_does_not_take_whole_is_refused(
    plugin: Path, models: Path, manifest: dict[str, Any]
) -> None:
    with pytest.raises(BakeError, match="total: "):  # its batch is free
        make(models, "total")


def test_weights_that_the_device_has_no_room_for_are_a_fault_of_their_own(
    plugin: Path, models: Path, manifest: dict[str, Any], start: Start, tmp_path: Path
) -> None:
    """The libraries are those of a GPU, and the provider is there by name: it comes to no more than that."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    registered = (plugin / "sitecustomize.py").read_text().replace(NAME, "CUDAExecutionProvider")
    (hooks / "sitecustomize.py").write_text(registered)
    manifest["components"]["linear"]["providers"] = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    write_manifest(models, manifest)
    libraries = build_libraries(tmp_path / "lib")
    server = start(PYTHONPATH=f"{hooks}:{ROOT}", LD_LIBRARY_PATH=str(libraries), GPU_FREE="40").wait_for("failed")
    said = server.get("/health").json()["reason"]
    assert (
        "weights need 48 bytes (linear 48), the device has 40 of 161,061,273,600 free; they would fit in fp16" in said
    )
    assert server.wait() == 81


def test_where_tensorrt_is_not_there_the_bake_says_so(models: Path, manifest: dict[str, Any], tmp_path: Path) -> None:
    tensorrt = tensorrt_variant(GraphTraits("linear", "fp16", static=False), {}, {"device": "NVIDIA H200"})
    with pytest.raises(
        BakeError,
        match=r"linear: TensorrtExecutionProvider cannot compile the graph: .* does not work",
    ):
        compile_engine("linear", models / "linear/model.onnx", tensorrt, tmp_path, tmp_path)
    assert not list(models.rglob("*.plain.onnx"))


BUCKETS = {
    "shapes": [{"batch": 1, "tokens": 4}, {"batch": 4, "tokens": 8}, {"batch": 1, "tokens": 16}],
    "pad": {"rows": 5.0, "mask": 0},
    "overflow": "error",
}


def compute_elsewhere(models: Path, manifest: dict[str, Any]) -> None:
    """By the provider, as far as it takes a graph of free axes, and by the processor below it."""
    manifest["components"]["pooled"].update(providers=[NAME, "CPUExecutionProvider"], provider_options={NAME: OPTIONS})
    write_manifest(models, manifest)


def test_every_bucket_of_a_device_is_warm_soon_after_ready(plugin: Path, tmp_path: Path) -> None:
    compute_elsewhere(tmp_path / "models", bake_pooled(tmp_path / "models", BUCKETS))
    with running(tmp_path / "models", tmp_path, {"PYTHONPATH": f"{plugin}:{ROOT}"}) as server:
        server.wait_for("ready")
        wait_until(lambda: len(bucket_phases(server)) == 2, "the buckets that the warm-up request did not use")
        assert bucket_phases(server) == ["bucket pooled: batch 1, tokens 16", "bucket pooled: batch 4, tokens 8"]
        assert server.get("/startup").json()["opened"] == {"pooled": NAME}
        assert server.status() == "ready"


def test_a_bucket_that_cannot_be_run_is_a_fault_though_the_server_was_ready(plugin: Path, tmp_path: Path) -> None:
    buckets = {**BUCKETS, "shapes": [{"batch": 1, "tokens": 4}, {"batch": 1, "tokens": 7}]}
    compute_elsewhere(tmp_path / "models", bake_pooled(tmp_path / "models", buckets, make_pairs()))
    with running(tmp_path / "models", tmp_path, {"PYTHONPATH": f"{plugin}:{ROOT}"}) as server:
        wait_until(lambda: server.status() == "failed", "the fault")
        assert "pooled: the bucket batch 1, tokens 7 cannot be run" in server.get("/health").json()["reason"]
        assert server.wait() == 74
        assert [each["event"] for each in server.events if each["event"] in ("ready", "fault")] == ["ready", "fault"]
