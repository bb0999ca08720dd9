"""The text encoder as served: the mean of each token's vector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from entrypoints.contract import Answer, Cancellation, Components, Field


class Captions:
    fields: Sequence[Field] = (Field("tokens", "text", "Numbers with blanks between them.", required=True),)

    def __init__(self, components: Components) -> None:
        self._components = components

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        tokens = np.array([[int(word) for word in str(form["tokens"]).split()]])
        caption = self._components.session("text_encoder").run({"tokens": tokens})["caption"]
        return Answer(json.dumps({"means": caption[0].mean(axis=1).tolist()}).encode(), "application/json")


def create(components: Components) -> Captions:
    return Captions(components)
