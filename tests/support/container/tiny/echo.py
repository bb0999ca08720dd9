"""The tiny model with more answers: the uploaded file as a media type that the request names, and an embedding for each line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from entrypoints.contract import Answer, Cancellation, Components, Field
from tests.support.container.tiny import model

EMBEDDINGS = "embeddings"
MEDIA_TYPES = ("image/png", "image/svg+xml", "audio/wav", "video/webm", "text/html", "application/zip")


class Echo(model.Tiny):
    fields: Sequence[Field] = (
        *model.Tiny.fields,
        Field("answer", "choice", "what to answer", default="plain", choices=("plain", EMBEDDINGS, *MEDIA_TYPES)),
        Field("texts", "text", "one sentence a line", maximum=1000),
    )

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        answer = str(form["answer"])
        if answer == EMBEDDINGS:
            vectors = [[float(line.count(letter)) for letter in "aeiou"] for line in str(form["texts"]).splitlines()]
            return Answer(json.dumps({"embeddings": vectors}).encode(), "application/json")
        if answer in MEDIA_TYPES:
            clip = form["clip"]
            assert isinstance(clip, bytes)
            return Answer(clip, answer)
        return super().generate(form, cancelled)


def create(components: Components) -> Echo:
    model.create(components)  # which waits or fails, if the test says so
    return Echo(components)
