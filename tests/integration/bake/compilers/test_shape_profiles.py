"""The shapes that engines are made for, and what takes those alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from entrypoints.manifest.shape_buckets import ACCEPTS_BUCKETS, ACCEPTS_RANGE
from prebake.bake.compilers.compiled_artifact import CompiledGraph
from prebake.bake.compilers.shape_profiles import find_profile
from prebake.bake.errors import ParityFailed
from prebake.bake.graphs.onnx_files import load
from prebake.bake.graphs.provider_options import CPU, GraphTraits, ShapeRange, tensorrt_options
from prebake.bake.model_folder.compile_job import CompileJob, weight_files
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.parity.graph_signature import GraphSignature
from prebake.bake.stages.compile_artifacts import ArtifactStage, compile_artifacts
from prebake.bake.stages.export import export_image
from prebake.documents.component import ComponentSettings, SessionSettings
from prebake.documents.settings import StageSettings
from prebake.errors import SpecInvalid
from tests.support.bake.fixed import settings_of

BUCKETS = ({"batch": 4}, {"batch": 1}, {"batch": 16})


@pytest.fixture(scope="module")
def free(published: Path, tiny_image: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a component of free shapes beside one of fixed ones."""
    exported = tmp_path_factory.mktemp("free") / "exported"
    export_image(settings_of(published, buckets=BUCKETS), published, exported)
    return exported


def tensors_of(exported: Path, name: str) -> GraphSignature:
    return GraphSignature.read(load(Exported.load(exported).graph(name)))


def test_profiles_are_the_buckets(free: Path) -> None:
    own = ComponentSettings(buckets=BUCKETS)
    profile = find_profile(own, tensors_of(free, "free"))
    assert profile == {"x": ShapeRange((1, 32), (4, 32), (16, 32))}  # best at the one that is listed first
    options = tensorrt_options(GraphTraits("free", "fp32", static=False, profile=profile), {})
    assert options["trt_profile_max_shapes"] == "x:16x32"
    assert find_profile(ComponentSettings(), tensors_of(free, "net")) == {}


def unbound(candidate: str, out: Path, accepts: str) -> CompiledGraph:
    """An artifact that any machine opens."""
    return CompiledGraph(
        candidate=candidate,
        folder=out,
        graph="model.onnx",
        provider=CPU,
        session=SessionSettings(),
        requires={"onnxruntime": "any"},
        accepts=accepts,
    )


class ForOneBucket:
    """A compiler whose artifact takes four rows and no other number, as an engine takes its profile's shapes alone."""

    def compile(self, component: str, graph: Path, settings: StageSettings, out: Path) -> Sequence[CompiledGraph]:
        model = onnx.load(str(graph))
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 4
        onnx.save(model, str(out / "model.onnx"))
        return [unbound("fixed", out, ACCEPTS_BUCKETS)]


class ForRange:
    """A compiler whose artifact says that it takes what lies between the buckets; ``error`` is added to its answers there."""

    def __init__(self, error: float) -> None:
        self.error = error

    def compile(self, component: str, graph: Path, settings: StageSettings, out: Path) -> Sequence[CompiledGraph]:
        model = onnx.load(str(graph))
        (output,) = model.graph.output
        last = next(node for node in model.graph.node if output.name in node.output)
        last.output[list(last.output).index(output.name)] = "right"
        numbers = {"least": 1.0, "most": 16.0, "error": self.error}
        model.graph.initializer.extend(
            [
                *(helper.make_tensor(name, TensorProto.FLOAT, [], [number]) for name, number in numbers.items()),
                helper.make_tensor("rows", TensorProto.INT64, [], [0]),
            ]
        )
        model.graph.node.extend(
            [
                helper.make_node("Shape", [model.graph.input[0].name], ["shape"]),
                helper.make_node("Gather", ["shape", "rows"], ["whole"]),
                helper.make_node("Cast", ["whole"], ["number"], to=TensorProto.FLOAT),
                helper.make_node("Sub", ["number", "least"], ["above"]),
                helper.make_node("Sub", ["most", "number"], ["below"]),
                helper.make_node("Mul", ["above", "below"], ["inside"]),
                helper.make_node("Mul", ["inside", "error"], ["wrong"]),
                helper.make_node("Add", ["right", "wrong"], [output.name]),
            ]
        )
        onnx.save(model, str(out / "model.onnx"))
        return [unbound("ranging", out, ACCEPTS_RANGE)]


def test_what_takes_the_buckets_alone_is_asked_through_them(published: Path, free: Path, tmp_path: Path) -> None:
    """The cases have two rows and four."""
    settings = settings_of(published, buckets=({"batch": 4},), pad={"x": 0.0})
    shutil.copytree(published, tmp_path / "models")
    job = CompileJob(settings, Exported.load(free), tmp_path / "models")
    (told,) = ArtifactStage(job, weight_files(job), [ForOneBucket()], tmp_path / "out", keep_all=True).run("free")
    assert told["kept"]


def test_what_takes_a_range_is_compared_between_the_buckets_too(published: Path, free: Path, tmp_path: Path) -> None:
    """The cases have two rows and four, and half way are eight."""
    settings = settings_of(published, buckets=({"batch": 16}, {"batch": 1}), overflow="dynamic")
    shutil.copytree(published, tmp_path / "models")
    job = CompileJob(settings, Exported.load(free), tmp_path / "models")
    (told,) = ArtifactStage(job, weight_files(job), [ForRange(0.0)], tmp_path / "out", keep_all=True).run("free")
    (entry,) = (tmp_path / "out/compiled/free").glob("*/artifact.json")
    assert told["kept"]
    assert json.loads(entry.read_bytes())["artifact"]["accepts"] == "range"
    with pytest.raises(ParityFailed) as caught:
        list(ArtifactStage(job, weight_files(job), [ForRange(0.1)], tmp_path / "wrong", keep_all=True).run("free"))
    assert [f"batch {rows}" in str(caught.value) for rows in (1, 2, 4, 8, 16)] == [False, True, True, True, False]
    assert not (tmp_path / "wrong" / "compiled").exists()


@pytest.mark.parametrize(
    ("buckets", "said"),
    [
        ((), r"the graph's input 'x' is \[batch, 32\], free along batch; there are no buckets"),
        (({"batch": 64},), r"is 64, but batch was exported for 1 to 16: the graph's input 'x' is \[batch, 32\]"),
        (({"rows": 1},), "no input has a dynamic axis 'rows'"),
    ],
)
def test_shapes_that_a_graph_cannot_take_are_refused_before_anything_is_compiled(
    published: Path, free: Path, tmp_path: Path, buckets: Any, said: str
) -> None:
    settings = replace(settings_of(published, buckets=buckets), target="tensorrt")
    shutil.copytree(published, tmp_path / "models")
    with pytest.raises(SpecInvalid) as caught:
        compile_artifacts(settings, free, tmp_path / "models", tmp_path / "out")
    (problem,) = caught.value.problems
    assert problem.where.startswith("components.free.buckets")
    assert re.search(said, problem.what)
