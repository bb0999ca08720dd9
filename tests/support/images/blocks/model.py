"""What is served of the network: a list of numbers in, one out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from entrypoints.contract import Answer, Cancellation, Components, Field


class Model:
    def __init__(self, components: Components) -> None:
        self._components = components

    @property
    def fields(self) -> Sequence[Field]:
        return (Field("values", "text", "Numbers.", required=True), Field("rows", "integer", "Times.", default=3))

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        row = np.array([float(number) for number in str(form["values"]).split(",")], dtype=np.float32)
        x = np.broadcast_to(row, (int(str(form["rows"])), len(row)))
        answer = self._components.session("net").run({"x": x})
        return Answer(json.dumps({"y": answer["y"].tolist()}).encode(), "application/json")


def create(components: Components) -> Model:
    return Model(components)
