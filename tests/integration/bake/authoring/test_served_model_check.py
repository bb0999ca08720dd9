"""The served code against the framework, in the export: every request whose answers differ is named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from entrypoints.contract import Answer, Cancellation, Components, Field
from prebake.bake.authoring import Bake
from prebake.bake.authoring.served_model_check import TorchSession, compare_served_model
from prebake.bake.errors import BakeError, ParityFailed
from prebake.documents.settings import StageSettings


class Doubled(torch.nn.Module):
    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return 2 * numbers


class Served:
    """Numbers of a text, doubled by the component ``net``."""

    fields: Sequence[Field] = (Field("numbers", "text", ""), Field("scale", "number", "", default=1.0))

    def __init__(self, components: Components) -> None:
        self._session = components.session("net")

    def generate(self, form: Mapping[str, Any], cancelled: Cancellation) -> Answer:
        numbers = np.array(str(form["numbers"]).split(), np.float32) * np.float32(form["scale"])
        doubled = self._session.run({"numbers": numbers})["doubled"]
        return Answer(json.dumps({"label": "numbers", "results": [doubled.tolist()]}).encode(), "application/json")


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    settings = StageSettings(
        image="x", module="x", target="cpu", checkpoint="local", model_revision="0" * 64, components={}, ship=()
    )
    (tmp_path / "checkpoint").mkdir()
    return Bake(settings, tmp_path / "checkpoint", tmp_path / "out")


def answers(**results: dict[str, Any]) -> Any:
    return lambda form: (json.dumps(results[f"n{form['numbers'].split()[0]}"]).encode(), "application/json")


def test_equal_answers_pass_with_the_fields_defaults(bake: Bake) -> None:
    right = {"label": "numbers", "results": [[2.0, 4.00001]]}
    compare_served_model(
        bake, Served, {"net": TorchSession(Doubled(), ("doubled",))}, answers(n1=right), [{"numbers": "1 2"}]
    )


def test_the_bound_grows_with_the_answer(bake: Bake) -> None:
    near = {"label": "numbers", "results": [[20_000.0, 4.5]]}
    compare_served_model(
        bake, Served, {"net": TorchSession(Doubled(), ("doubled",))}, answers(n10000=near), [{"numbers": "10000 2"}]
    )


def test_every_request_that_differs_is_named_with_its_place(bake: Bake) -> None:
    wrong = {
        "n1": {"label": "numbers", "results": [[2.0, 4.1]]},
        "n3": {"label": "letters", "results": [[6.0]]},
        "n5": {"label": "numbers", "results": [[10.0, 1.0]]},
        "n7": {"label": "numbers", "results": [[float("nan")]]},
    }
    forms = [{"numbers": each} for each in ("1 2", "3", "5", "7")]
    with pytest.raises(ParityFailed) as caught:
        compare_served_model(bake, Served, {"net": TorchSession(Doubled(), ("doubled",))}, answers(**wrong), forms)
    for words in (
        "numbers='1 2': .results[0][1] is 4, expected 4.1", "numbers='3': .label is \"numbers\"",
        "numbers='5': .results[0] is [10.0]", "numbers='7': .results[0][0] is 14, expected nan",
    ):  # fmt: skip
        assert words in caught.value.message


def test_a_file_that_the_image_lacks_is_named(bake: Bake) -> None:
    bake.asset("x/labels.json", b"[]")
    assert bake.path("x/labels.json").read_bytes() == b"[]"
    with pytest.raises(BakeError, match=r"x/other.json"):
        bake.path("x/other.json")
