"""One graph of 100 square matrices (400 MB), for timing a start with weights worth reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from entrypoints.contract import Answer, Cancellation, Components, Field

WIDTH = 1024


class Deep:
    fields: Sequence[Field] = (Field("seed", "integer", "of the input", default=0),)

    def __init__(self, components: Components) -> None:
        self.components = components

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        x = np.random.default_rng(int(str(form["seed"]))).standard_normal((8, WIDTH), dtype=np.float32)
        y = self.components.session("deep").run({"x": x})["y"]
        return Answer(json.dumps([float(value) for value in y[:, 0]]).encode(), "application/json")


def create(components: Components) -> Deep:
    return Deep(components)
