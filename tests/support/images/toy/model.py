"""The toy as served."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from entrypoints.contract import Answer, BadRequest, Cancellation, Components, Field


class Toy:
    fields: Sequence[Field] = (Field("values", "text", "Eight numbers with blanks between them.", required=True),)

    def __init__(self, components: Components) -> None:
        self._components = components

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        values = np.array([[float(word) for word in str(form["values"]).split()]], np.float32)
        if values.shape != (1, 8):
            raise BadRequest("give eight numbers", field="values")
        for component in ("first", "second"):
            values = self._components.session(component).run({"input": values})["output"]
        return Answer(json.dumps({"values": values[0].tolist()}).encode(), "application/json")


def create(components: Components) -> Toy:
    return Toy(components)
