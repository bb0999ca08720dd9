"""Inputs that are made up for a published graph: which sizes, which values, and what is told of the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from prebake.bake.errors import BakeError, GraphRefused
from prebake.bake.importers.signature import Signature, TensorSignature, read_signature
from prebake.bake.published.axis_lengths import (
    MAX_ELEMENTS,
    MAX_TOKENS,
    candidate_lengths,
    count_elements,
    other_lengths,
)
from prebake.bake.published.axis_names import verify_axis_names
from prebake.bake.published.determinism import check_determinism
from prebake.bake.published.generated_inputs import generate_inputs
from prebake.bake.published.graph_file import PublishedGraph, inspect_graph
from prebake.bake.published.input_search import find_cases, find_first_case, run_graph
from prebake.bake.published.sample_file import fill_sample, read_samples, write_sample
from tests.support.models.odd_graphs import FLOAT, GOOD, INT64, make, never, value, write


def opened(tmp_path: Path, model: onnx.ModelProto) -> PublishedGraph:
    return inspect_graph("net", write(model, tmp_path / "net.onnx"))


def signature(**shapes: tuple[int | str, ...]) -> Signature:
    return Signature(tuple(TensorSignature(name, "float32", shape) for name, shape in shapes.items()), ())


def test_the_ladder_goes_up_from_one_and_spares_the_rows() -> None:
    sizes = list(candidate_lengths(signature(x=("rows", 3, "h", "w")), {}))
    assert [each["h"] for each in sizes[:9]] == [1, 2, 3, 16, 32, 64, 224, 320, 640]
    assert {each["rows"] for each in sizes} == {1}
    assert {"rows": 1, "h": 48, "w": 192} in sizes
    assert all(count_elements(signature(x=("rows", 3, "h", "w")), each) <= MAX_ELEMENTS for each in sizes)


def test_an_input_of_many_numbers_is_tried_if_all_of_them_are_fixed() -> None:
    large = (3, 4096, 4096)
    assert [*candidate_lengths(signature(x=(1, *large)), {})] == [{}]
    assert [*candidate_lengths(signature(x=("rows", *large)), {})] == [{"rows": 1}]


def test_further_cases_of_a_large_input_have_its_size(tmp_path: Path) -> None:
    nodes = [helper.make_node("GlobalMaxPool", ["x"], ["y"])]
    model = make(nodes, [value("x", FLOAT, ["rows", 1, 4096, 3072])], [value("y", FLOAT, None)])
    cases = find_cases(opened(tmp_path, model), [])
    assert [each["x"].shape for each in cases] == [(1, 1, 4096, 3072)] * 3
    assert not np.array_equal(cases[0]["x"], cases[1]["x"])


@pytest.mark.parametrize(("said", "expected"), [("[320, 448]", (320, 448)), ("640", (640, 640)), ("[96]", (96, 96))])
def test_what_the_publisher_says_of_pictures_comes_first(said: str, expected: tuple[int, int]) -> None:
    for axes in (("n", 3, "h", "w"), ("n", "h", "w", 3)):
        first = next(candidate_lengths(signature(x=axes), {"imgsz": said}))
        assert (first["h"], first["w"]) == expected


def test_an_axis_that_is_named_by_others_has_their_sum() -> None:
    takes = signature(ids=("batch", "tokens"), mask=("batch", "past + tokens"), past=("batch", 4, "past", 8))
    for lengths in [*candidate_lengths(takes, {}), *other_lengths(takes, next(candidate_lengths(takes, {})))]:
        assert lengths["past + tokens"] == lengths["past"] + lengths["tokens"]


def test_tokens_are_never_so_many_that_attention_fills_the_memory() -> None:
    tokens = Signature((TensorSignature("ids", "int64", ("batch", "tokens")),), ())
    assert max(each["tokens"] for each in candidate_lengths(tokens, {})) == MAX_TOKENS
    assert max(each["samples"] for each in candidate_lengths(signature(x=("batch", "samples")), {})) == 16_000


def test_further_cases_have_other_rows_and_lengths(tmp_path: Path) -> None:
    published = opened(tmp_path, GOOD["detector"]())
    shapes = [case["images"].shape for case in find_cases(published, [])]
    assert shapes[0] == (1, 3, 16, 16)
    assert len({shape[0] for shape in shapes}) == len({shape[2] for shape in shapes[:2]}) + 1 == 3


def test_pictures_in_bytes_use_the_whole_range() -> None:
    takes = Signature((TensorSignature("x", "uint8", (1, 8, 8, 3)), TensorSignature("ids", "uint8", (1, 8))), ())
    made = generate_inputs(takes, {}, seed=1)
    assert made["x"].max() > 200
    assert made["ids"].max() == 1


def test_whole_numbers_may_be_lengths(tmp_path: Path) -> None:
    """As the first of a speech model's outputs, cut to a length that an input tells: a length of 0 leaves nothing to average."""
    nodes = [helper.make_node("Reshape", ["x", "length"], ["y"])]
    inputs = [value("x", FLOAT, ["samples"]), value("length", INT64, [1])]
    published = opened(tmp_path, make(nodes, inputs, [value("y", FLOAT, ["samples"])]))
    first = find_first_case(published)
    assert first.inputs["length"].tolist() == [len(first.inputs["x"])]


def test_an_answer_that_is_no_number_anywhere_is_told(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["n"]),
        helper.make_node("Log", ["n"], ["y"]),
    ]
    published = opened(tmp_path, make(nodes, [value("x", FLOAT, ["N", 4])], [value("y", FLOAT, ["N", 4])]))
    cases = find_cases(published, [])
    (note,) = set(check_determinism(published, cases[:1], [run_graph(published, cases[0])]))
    assert "'y' is NaN everywhere, which proves little" in note


def test_a_graph_that_draws_numbers_it_does_not_use_is_told_and_baked(tmp_path: Path) -> None:
    nodes = [helper.make_node("RandomNormalLike", ["x"], ["r"], name="noise"), helper.make_node("Mul", ["r", "scale"], ["s"]),
             helper.make_node("Add", ["x", "s"], ["y"])]  # fmt: skip
    inputs = [value("x", FLOAT, ["N", 4]), value("scale", FLOAT, [1])]
    published = opened(tmp_path, make(nodes, inputs, [value("y", FLOAT, ["N", 4])]))
    quiet = {"x": np.ones((1, 4), np.float32), "scale": np.zeros(1, np.float32)}
    (note,) = check_determinism(published, [quiet], [run_graph(published, quiet)])
    assert "the graph has random operators (RandomNormalLike (noise))" in note
    loud = {**quiet, "scale": np.ones(1, np.float32)}
    with pytest.raises(GraphRefused, match="differ between two runs"):
        list(check_determinism(published, [loud], [run_graph(published, loud)]))


def test_dropout_draws_numbers_in_training_alone(tmp_path: Path) -> None:
    rate = numpy_helper.from_array(np.array(0.5, np.float32), "rate")
    for on in (False, True):
        training = numpy_helper.from_array(np.array(on), "training")
        nodes = [helper.make_node("Dropout", ["x", "rate", "training"], ["y"], name="drop")]
        model = make(nodes, [value("x", FLOAT, ["N", 64])], [value("y", FLOAT, ["N", 64])], [rate, training])
        assert opened(tmp_path, model).random_nodes == (("Dropout (drop)",) if on else ())


def test_a_sample_with_unequal_lengths_frees_the_axis(tmp_path: Path) -> None:
    published = opened(tmp_path, GOOD["same_name"]())
    case = {"a": np.ones((1, 1), np.float32), "b": np.ones((1, 3), np.float32)}
    assert verify_axis_names(published, [case]).inputs[1].shape == ("batch", "b.1")


def test_what_runs_on_nothing_is_refused_with_the_words_of_onnx_runtime(tmp_path: Path) -> None:
    with pytest.raises(GraphRefused) as caught:
        find_first_case(opened(tmp_path, never()))
    assert "x [1, 1]: [ONNXRuntimeError]" in caught.value.message
    assert "--sample FILE" in caught.value.next_action


def test_names_that_occur_twice_are_each_to_be_told_apart(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    model = make(nodes, [value("x", FLOAT, ["N", 4])], [value("y", FLOAT, ["N", 4]), value("y", FLOAT, ["N", 4])])
    with pytest.raises(GraphRefused, match="y: is the name of 2 outputs"):
        opened(tmp_path, model)


def test_half_precision_and_scalars_are_read(tmp_path: Path) -> None:
    half = TensorProto.FLOAT16
    nodes = [helper.make_node("Mul", ["x", "by"], ["y"])]
    published = opened(
        tmp_path, make(nodes, [value("x", half, ["N"]), value("by", half, [])], [value("y", half, ["N"])])
    )
    assert read_signature("net", published.session).inputs[1] == TensorSignature("by", "float16", ())
    assert find_first_case(published).inputs["by"].shape == ()


def test_samples_may_be_shapes_files_and_archives(tmp_path: Path) -> None:
    takes = signature(x=("n", 300), y=("n",))
    np.save(tmp_path / "real.npy", np.full(2, 7, np.float32))
    (tmp_path / "sample.json").write_text(
        '{"net": {"x": {"shape": [2, 300], "seed": 4}, "y": {"file": "real.npy"}}, "other": {"x": {"shape": [1, 3], "fill": 2}}}'
    )
    samples = read_samples(tmp_path, ["net", "other"])
    found = fill_sample("net", takes, samples["net"], tmp_path)
    again = fill_sample("net", takes, samples["net"], tmp_path)
    assert found["x"].shape == (2, 300)
    assert np.array_equal(found["x"], again["x"])
    assert found["y"].tolist() == [7, 7]
    assert fill_sample("other", takes, samples["other"], tmp_path)["x"].tolist() == [[2, 2, 2]]
    with pytest.raises(BakeError, match="sample of the input y cannot be used"):
        fill_sample("net", takes, {"y": {"file": "nowhere.npy"}}, tmp_path)
    arrays: dict[str, Any] = {"net/x": np.ones(3), "y": np.ones(2)}
    np.savez(tmp_path / "sample.npz", **arrays)
    with pytest.raises(BakeError, match=r"several sample files: sample\.json, sample\.npz"):
        read_samples(tmp_path, ["net"])
    (tmp_path / "sample.json").unlink()
    assert set(read_samples(tmp_path, ["net", "other"])["net"]) == {"x", "y"}
    (tmp_path / "sample.npz").unlink()
    np.save(tmp_path / "sample.npy", np.ones((1, 300)))
    one = fill_sample("net", signature(x=("n", 300)), read_samples(tmp_path, ["net"])["net"], tmp_path)
    assert one["x"].shape == (1, 300)
    np.save(tmp_path / "sample.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(BakeError, match="not a NumPy file without pickles"):
        read_samples(tmp_path, ["net"])


def test_what_is_written_of_large_and_empty_inputs_makes_the_same_shape() -> None:
    takes = signature(large=(3, 200), empty=(0, 4), small=(2,))
    made = generate_inputs(takes, {}, seed=1)
    written = write_sample(made)
    assert written["large"] == {"shape": [3, 200], "seed": 1}
    again = fill_sample("net", takes, written, Path())
    assert {name: np.shape(each) for name, each in again.items()} == {"large": (3, 200), "empty": (0, 4), "small": (2,)}


@pytest.mark.parametrize(
    ("nodes", "weight", "attributes", "expected"),
    [
        (["Conv"], (4, 3, 3, 3), {}, (3, 4)),
        (["Relu", "Conv"], (4, 3, 5), {"group": 2}, (6, 3)),
        (["MatMul"], (17, 3), {}, (17, 2)),
        (["Gemm"], (3, 17), {"transB": 1}, (17, 2)),
        (["Add"], (1, 7, 5), {}, (5, 3)),
    ],
)
def test_the_weights_that_meet_an_input_without_a_rank_tell_its_shape(
    tmp_path: Path, nodes: list[str], weight: tuple[int, ...], attributes: dict[str, int], expected: tuple[int, int]
) -> None:
    """``expected``: the length that the weights ask for, and the number of axes."""
    names = ["x", *(f"between{number}" for number in range(len(nodes) - 1)), "y"]
    made = [helper.make_node(kind, [names[at], *(["w"] if kind == nodes[-1] else [])], [names[at + 1]])
            for at, kind in enumerate(nodes)]  # fmt: skip
    made[-1].attribute.extend(helper.make_attribute(name, number) for name, number in attributes.items())
    held = numpy_helper.from_array(np.ones(weight, np.float32), "w")
    graph = helper.make_graph(made, "g", [value("x", FLOAT, None)], [value("y", FLOAT, None)], [held])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    published = opened(tmp_path, model)
    for case in find_cases(published, []):
        assert expected[0] in case["x"].shape
        assert case["x"].ndim == expected[1]
    assert published.signature.inputs[0].shape is None
