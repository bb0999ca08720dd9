"""The figures of a fault, as programs read them from the container's log."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from entrypoints.contract import Answer
from entrypoints.errors import Fault, WrongAnswer
from entrypoints.model.answer_comparison import measure_distance
from entrypoints.model.warmup import check_answer
from tests.integration.container.start.test_answer_comparison import write_wave


def test_a_wrong_answer_has_its_largest_difference_and_the_tolerance() -> None:
    with pytest.raises(WrongAnswer) as caught:
        check_answer(Answer(b"[1.5, 2]", "application/json"), b"[1, 2]", "application/json", 0.001)
    assert caught.value.details == {"largest_difference": 0.5, "tolerance": 0.001}


@pytest.mark.parametrize("body", [b"[1]", b'["a", 2]', b"no JSON"])
def test_an_answer_of_another_shape_has_no_figures(body: bytes) -> None:
    with pytest.raises(WrongAnswer) as caught:
        check_answer(Answer(body, "application/json"), b"[1, 2]", "application/json", 0.001)
    assert "details" not in caught.value.log_entry


def test_details_name_the_model_and_survive_the_way_to_the_server_process() -> None:
    fault: Fault = pickle.loads(pickle.dumps(WrongAnswer("far", {"largest_difference": 2.0}).for_model("clap")))
    assert fault.log_entry["details"] == {"model": "clap", "largest_difference": 2.0}
    assert fault.reason == "warm-up answer differs: clap: far"
    assert WrongAnswer("far", {"largest_difference": 2.0}).for_model("").details == {"largest_difference": 2.0}


def test_samples_are_measured_in_full_scale() -> None:
    left, right = np.zeros((100, 1)), np.zeros((100, 1))
    right[7] = 0.5
    one, other = write_wave(left, -32), write_wave(right, -32)
    assert measure_distance(one, other, "audio/wav") == 0.5
    assert measure_distance(one, write_wave(np.zeros((99, 1)), -32), "audio/wav") == math.inf
    right[7] = math.nan
    assert measure_distance(one, write_wave(right, -32), "audio/wav") == math.inf
    assert measure_distance(b"a", b"b", "image/png") == math.inf
