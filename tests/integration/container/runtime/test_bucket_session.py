"""Inputs are brought to the nearest bucket, answers are the graph's own, and what no bucket holds is told its limits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import onnxruntime
import pytest

from entrypoints.contract import BadRequest, find_limits
from entrypoints.hardware.facts import find_facts
from entrypoints.manifest.shape_buckets import Buckets, Shapes
from entrypoints.runtime.bucket_session import Bucketing, BucketSession
from entrypoints.runtime.onnx_session import OnnxSession
from tests.support.container.baking import SESSION, describe_file, write_manifest
from tests.support.container.pooled import MASK, ROWS, answer, bake_pooled, bucket_phases, make_pooled
from tests.support.container.running import Server, running

SHAPES = [{"batch": 1, "tokens": 4}, {"batch": 4, "tokens": 8}, {"batch": 1, "tokens": 16}]
BUCKETS = {"shapes": SHAPES, "pad": {"rows": 5.0, "mask": 0}, "overflow": "error"}
AXES: Shapes = {"rows": ("batch", "tokens"), "mask": ("batch", "tokens")}
OUTPUTS: Shapes = {"mean": ("batch", 1), "doubled": ("batch", "tokens"), "seen": (2,)}
Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Bake and start; ``change`` may change the manifest before."""
    with contextlib.ExitStack() as stack:

        def serve(buckets: dict[str, Any] | None, change: Callable[[Path, Any], None] | None = None) -> Server:
            manifest = bake_pooled(tmp_path / "models", buckets)
            if change is not None:
                change(tmp_path / "models", manifest)
                write_manifest(tmp_path / "models", manifest)
            return stack.enter_context(running(tmp_path / "models", tmp_path, {}))

        yield serve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pooled")
    bake_pooled(folder / "models", BUCKETS)
    with running(folder / "models", folder, {}) as server:
        yield server.wait_for("ready")


def ask(server: Server, batch: int, tokens: int) -> httpx.Response:
    rows, mask = make_request(batch, tokens)
    return server.post(json={"inputs": json.dumps({"rows": rows, "mask": mask})})


def make_request(batch: int, tokens: int) -> tuple[list[list[float]], list[list[int]]]:
    """Rows of different lengths: the mask is the request's own besides the padding's."""
    rows = [[float(batch * row + token) for token in range(tokens)] for row in range(batch)]
    return rows, [[int(token <= row or token == 0) for token in range(tokens)] for row in range(batch)]


def runs(server: Server) -> dict[str, float]:
    lines = [line for line in server.get("/metrics").text.splitlines() if line.startswith("prebake_bucket_runs_total{")]
    return {line.split('bucket="')[1].split('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


@pytest.mark.parametrize(
    ("batch", "tokens", "bucket"),
    [(1, 1, [1, 4]), (1, 4, [1, 4]), (1, 5, [1, 16]), (2, 3, [4, 8]), (4, 8, [4, 8]), (1, 16, [1, 16])],
)
def test_inputs_are_brought_to_the_nearest_bucket_and_answers_back(
    server: Server, batch: int, tokens: int, bucket: list[int]
) -> None:
    outputs = ask(server, batch, tokens).json()["outputs"]
    assert outputs.pop("seen") == bucket
    assert outputs == answer(*make_request(batch, tokens))


@pytest.mark.parametrize(("batch", "tokens"), [(5, 1), (2, 9), (1, 17)])
def test_what_no_bucket_holds_is_refused_with_the_limits(server: Server, batch: int, tokens: int) -> None:
    before = runs(server).get("refused", 0)
    response = ask(server, batch, tokens)
    assert response.status_code == 422
    limits = "batch 1, tokens 1 to 4 or batch 1, tokens 1 to 16 or batch 1 to 4, tokens 1 to 8"
    said = f"This model does not accept batch {batch}, tokens {tokens}: it accepts {limits}."
    assert response.json()["error"]["message"] == response.json()["error"]["fields"]["inputs"] == said
    assert runs(server)["refused"] == before + 1


def test_a_processor_compiles_nothing_for_a_bucket_and_warms_none(server: Server) -> None:
    assert bucket_phases(server) == []


def test_runs_are_counted_by_bucket(serve: Serve) -> None:
    server = serve(BUCKETS).wait_for("ready")
    for batch, tokens in ((1, 2), (1, 3), (3, 3)):
        assert ask(server, batch, tokens).status_code == 200
    assert runs(server) == {"batch 1, tokens 4": 3, "batch 4, tokens 8": 1}  # the warm-up request's among them


def test_the_graph_takes_what_is_outside_where_the_image_allows_it(serve: Serve) -> None:
    server = serve({**BUCKETS, "overflow": "dynamic"}).wait_for("ready")
    outputs = ask(server, 3, 9).json()["outputs"]
    assert outputs.pop("seen") == [3, 9]
    assert outputs == answer(*make_request(3, 9))
    assert runs(server)["overflow"] == 1


def test_an_axis_that_is_not_padded_needs_a_bucket_of_its_length(serve: Serve) -> None:
    server = serve({"shapes": [{"tokens": 3}, {"tokens": 6}], "pad": {"mask": 0}, "overflow": "error"}, seen(1, 3))
    server.wait_for("ready")
    assert ask(server, 7, 6).json()["outputs"]["seen"] == [7, 6]  # an axis that no bucket names is as it comes
    message = ask(server, 7, 5).json()["error"]["message"]
    assert message == "This model does not accept tokens 5: it accepts tokens 3 or tokens 6."


def seen(*shape: int) -> Callable[[Path, Any], None]:
    """The warm-up's answer, for a request that is run in this shape."""

    def change(models: Path, manifest: Any) -> None:
        content = json.dumps({"outputs": {**answer(ROWS, MASK), "seen": list(shape)}}).encode()
        (models / "warmup/answer.json").write_bytes(content)
        manifest["files"]["warmup/answer.json"] = describe_file(content)

    return change


def compile_for_one_bucket(models: Path, manifest: Any) -> None:
    compile_pooled(models, manifest, make_pooled(1, 4), {})


def compile_pooled(models: Path, manifest: Any, graph: onnx.ModelProto, told: dict[str, str]) -> None:
    """What stands in for a compiled form, and what the manifest says of the shapes that it takes."""
    content = graph.SerializeToString()
    (models / "compiled").mkdir()
    (models / "compiled/pooled.onnx").write_bytes(content)
    manifest["files"]["compiled/pooled.onnx"] = {**describe_file(content), "origin": "compiled"}
    manifest["components"]["pooled"]["artifacts"] = [
        {
            "name": "native",
            "graph": "compiled/pooled.onnx",
            "provider": "CPUExecutionProvider",
            "provider_options": {},
            "session": dict(SESSION),
            "requires": dict(find_facts("CPUExecutionProvider")),
            "minimum": {},
            "byte_ranges": {},
            "key": "1" * 64,
            "key_inputs": {},
            **told,
        }
    ]


def test_the_graph_is_opened_where_what_was_compiled_takes_the_buckets_alone(serve: Serve) -> None:
    server = serve({**BUCKETS, "shapes": SHAPES[:1], "overflow": "dynamic"}, compile_for_one_bucket).wait_for("ready")
    assert server.get("/startup").json()["opened"] == {"pooled": "native"}
    assert [ask(server, *shape).json()["outputs"]["seen"] for shape in ((1, 2), (3, 9), (2, 5))] == [
        [1, 4],
        [3, 9],
        [2, 5],
    ]


def damage_graph(models: Path) -> None:
    """That of the component itself: whatever opens it is told."""
    content = bytearray((models / "pooled/model.onnx").read_bytes())
    content[20] ^= 1
    (models / "pooled/model.onnx").write_bytes(content)


def test_a_graph_that_was_damaged_is_not_opened_later_on(serve: Serve) -> None:
    def damage(models: Path, manifest: Any) -> None:
        compile_for_one_bucket(models, manifest)
        damage_graph(models)

    server = serve({**BUCKETS, "shapes": SHAPES[:1], "overflow": "dynamic"}, damage).wait_for("ready")
    assert ask(server, 1, 2).json()["outputs"]["seen"] == [1, 4]
    assert ask(server, 3, 9).status_code == 500
    assert "pooled/model.onnx: corrupt" in server.stderr
    assert server.status() == "ready"


@pytest.mark.parametrize(("accepts", "beyond"), [("range", 500), ("any", 200)])
def test_what_was_compiled_takes_more_than_its_buckets_where_it_says_so(
    serve: Serve, accepts: str, beyond: int
) -> None:
    """The component's own graph cannot be opened: what is answered, the compiled form answered."""

    def change(models: Path, manifest: Any) -> None:
        compile_pooled(models, manifest, make_pooled(), {"accepts": accepts})
        damage_graph(models)

    server = serve({**BUCKETS, "overflow": "dynamic"}, change).wait_for("ready")
    outputs = ask(server, 3, 12).json()["outputs"]  # in no bucket, from the smallest length to the largest of each axis
    assert outputs.pop("seen") == [3, 12]
    assert outputs == answer(*make_request(3, 12))
    assert [ask(server, *shape).status_code for shape in ((5, 12), (3, 17))] == [beyond, beyond]
    told = {"between": 1, "overflow": 2} if accepts == "range" else {"overflow": 3}
    assert runs(server) == {"batch 1, tokens 4": 1, **told}


def test_what_takes_a_range_is_asked_nothing_beyond_its_buckets_where_those_are_the_limits(serve: Serve) -> None:
    def change(models: Path, manifest: Any) -> None:
        compile_pooled(models, manifest, make_pooled(), {"accepts": "range"})

    server = serve(BUCKETS, change).wait_for("ready")
    assert ask(server, 3, 12).status_code == 422


@cache
def open_pooled() -> OnnxSession:
    return OnnxSession(onnxruntime.InferenceSession(make_pooled().SerializeToString()))


def bucketed(shapes: list[dict[str, int]], overflow: str = "error") -> BucketSession:
    bucketing = Bucketing(Buckets(tuple(shapes), {"rows": 7.0, "mask": 0}, overflow), AXES, OUTPUTS)
    return BucketSession(open_pooled(), bucketing, open_pooled, lambda _: None)


def test_a_bucketed_answer_is_the_graphs_own() -> None:
    from hypothesis import given, settings  # takes about two seconds, in every process that collects this module
    from hypothesis import strategies as st

    lengths = st.fixed_dictionaries({"batch": st.integers(1, 6), "tokens": st.integers(1, 24)})
    shapes = st.lists(lengths, min_size=1, max_size=4)
    examples = given(shapes=shapes, lengths=lengths, random=st.randoms(use_true_random=False))
    settings(deadline=None)(examples(check_bucketed_answer))()


def check_bucketed_answer(shapes: list[dict[str, int]], lengths: dict[str, int], random: Any) -> None:
    shape = (lengths["batch"], lengths["tokens"])
    draw = np.random.default_rng(random.randrange(2**32))
    mask = draw.integers(0, 2, shape)
    mask[:, 0] = 1
    inputs: dict[str, np.ndarray[Any, Any]] = {"rows": draw.standard_normal(shape, np.float32), "mask": mask}
    wanted = open_pooled().run(inputs)
    held = [each for each in shapes if all(lengths[axis] <= each[axis] for axis in lengths)]
    if not held:
        with pytest.raises(BadRequest):
            bucketed(shapes).run(inputs)
    got = bucketed(shapes, "error" if held else "dynamic").run(inputs)
    least = min((each["batch"] * each["tokens"] for each in held), default=shape[0] * shape[1])
    assert np.prod(got["seen"]) == least
    assert np.array_equal(got["doubled"], wanted["doubled"])
    assert got["mean"].shape == wanted["mean"].shape
    assert np.allclose(got["mean"], wanted["mean"], rtol=0, atol=1e-6)


def test_a_model_sees_the_limits() -> None:
    assert find_limits(bucketed(SHAPES)) == (SHAPES[0], SHAPES[2], SHAPES[1])
    assert find_limits(bucketed(SHAPES, "dynamic")) == find_limits(open_pooled()) == ()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"rows": np.ones((1, 2), np.float32)}, "the input mask is missing"),
        ({"rows": np.ones(2, np.float32), "mask": np.ones((1, 2), np.int64)}, "rows has 1 axes, should have 2"),
        (
            {"rows": np.ones((1, 2), np.float32), "mask": np.ones((1, 3), np.int64)},
            "mask has tokens 3, another has 2",
        ),
    ],
)
def test_inputs_that_are_none_of_the_graphs_are_named(inputs: dict[str, np.ndarray[Any, Any]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bucketed(SHAPES).run(inputs)


def test_nothing_is_made_of_no_rows() -> None:
    with pytest.raises(BadRequest, match="does not accept batch 0, tokens 2"):
        bucketed(SHAPES).run({"rows": np.ones((0, 2), np.float32), "mask": np.ones((0, 2), np.int64)})
