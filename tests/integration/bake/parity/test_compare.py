"""How far a graph's answers may lie from the framework's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, save_model

from prebake.bake.parity.compare import Case, compare
from prebake.bake.parity.metrics import measure_error
from prebake.bake.parity.tolerances import default_tolerances


@pytest.fixture
def same(tmp_path: Path) -> ort.InferenceSession:
    """Gives each of its inputs as it is."""
    kinds = {"ids": TensorProto.INT64, "scores": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info(name, kind, [1]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_out", kind, [1]) for name, kind in kinds.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds]
    graph = helper.make_graph(nodes, "same", inputs, outputs)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(tmp_path / "g"))
    return ort.InferenceSession(str(tmp_path / "g"))


def test_whole_numbers_are_the_same_or_wrong_and_fractions_may_be_rounded(same: ort.InferenceSession) -> None:
    case = Case(
        {"ids": np.array([30522]), "scores": np.array([0.5], np.float32)},
        {"ids_out": np.array([30521]), "scores_out": np.array([0.50005], np.float32)},
    )
    passed = {
        finding.output: finding.passed for finding in compare("net", same, [case], default_tolerances(case.outputs))
    }
    assert passed == {"ids_out": False, "scores_out": True}


def test_an_id_of_thousands_loosens_nothing() -> None:
    found = default_tolerances({"ids": np.array([30522]), "scores": np.array([0.5], np.float32)})
    assert found == {"ids": 1e-4, "scores": 1e-4}


def test_each_output_has_the_tolerance_of_its_own_size_in_all_cases() -> None:
    logits, scores = np.array([50.0], np.float32), np.array([0.5], np.float32)
    found = default_tolerances({"logits": logits, "scores": scores}, {"logits": logits * 2, "scores": scores})
    assert found == pytest.approx({"logits": 1e-2, "scores": 1e-4})


@pytest.mark.parametrize(
    ("allowed", "passed"), [({"scores_out": 1e-3}, True), ({"scores_out": 1e-5}, False), (1e-3, True)]
)
def test_a_tolerance_is_of_one_output_or_of_all(
    same: ort.InferenceSession, allowed: dict[str, float] | float, passed: bool
) -> None:
    case = Case(
        {"ids": np.array([7]), "scores": np.array([0.5], np.float32)}, {"scores_out": np.array([0.5004], np.float32)}
    )
    (finding,) = compare("net", same, [case], allowed)
    assert finding.passed is passed


@pytest.mark.parametrize(
    ("wanted", "got", "said"),
    [
        ([np.nan, 1.0, np.inf], [np.nan, 1.0, np.inf], ""),
        ([np.nan, 1.0], [2.0, 1.0], "is 2 at [0], the framework's is nan; this is so for 1 of 2 elements"),
        ([1.0, 2.0], [1.0, np.nan], "is nan at [1], the framework's is 2"),
        ([np.inf], [-np.inf], "is -inf at [0], the framework's is inf"),
        ([np.inf], [np.nan], "is nan at [0]"),
    ],
)
def test_gaps_have_to_be_the_same_and_at_the_same_places(wanted: list[float], got: list[float], said: str) -> None:
    class Fixed:
        def get_inputs(self) -> list[object]:
            return []

        def run(self, outputs: list[str], inputs: object, /) -> list[np.ndarray]:
            return [np.array(got, np.float32)]

    (found,) = compare("net", Fixed(), [Case({}, {"y": np.array(wanted, np.float32)})], 1e-4)
    assert found.passed is not bool(said)
    assert said in found.fault


def test_gaps_do_not_loosen_the_tolerance_and_text_has_to_be_equal() -> None:
    assert default_tolerances({"y": np.array([np.inf, np.nan, 0.5], np.float32)}) == {"y": 1e-4}
    same = measure_error(np.array(["a", "b"], object), np.array(["a", "b"], object))
    other = measure_error(np.array(["a", "b"], object), np.array(["a", "c"], object))
    assert (same.relative, same.difference) == (0, 0)
    assert (other.relative, other.difference) == (0.5, 1)


def test_a_relative_error_is_held_to_its_bound_and_whole_numbers_to_a_share(same: ort.InferenceSession) -> None:
    case = Case(
        {"ids": np.array([7]), "scores": np.array([0.5], np.float32)},
        {"ids_out": np.array([7]), "scores_out": np.array([0.4], np.float32)},
    )
    found = {each.output: each for each in compare("net", same, [case], 0.2, relative=True)}
    assert found["ids_out"].passed
    assert not found["scores_out"].passed
    assert found["scores_out"].difference == pytest.approx(0.25)
    assert "has a relative error of 0.25, above the bound of 0.2" in str(found["scores_out"].problem())


@pytest.mark.parametrize(
    ("wanted", "got", "relative", "cosine"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0, 1.0),
        ([3.0, 4.0], [3.0, 9.0], 1.0, 45 / (5 * np.sqrt(90))),
        ([0.0, 0.0], [0.0, 0.0], 0.0, 1.0),
        ([], [], 0.0, 1.0),
        ([0.0], [1.0], np.inf, 0.0),
        ([1.0], [np.nan], np.nan, np.nan),
    ],
)
def test_quality_of_fractions(wanted: list[float], got: list[float], relative: float, cosine: float) -> None:
    found = measure_error(np.array(wanted, np.float32), np.array(got, np.float32))
    np.testing.assert_allclose((found.relative, found.cosine), (relative, cosine))


def test_quality_of_whole_numbers_is_the_share_that_differs() -> None:
    found = measure_error(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 9]))
    assert (found.relative, found.difference) == (0.25, 5.0)
