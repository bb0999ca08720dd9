"""A model that computes everything in a process of its own: `decoding` beside it is imported there during the start."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from entrypoints.contract import Answer, Cancellation, Components, DecodeLimits, Field, decode_apart

DECODING = "tests.support.container.apart.decoding"
LIMITS = DecodeLimits(30, 256 << 20, "values")


class Apart:
    fields: Sequence[Field] = (
        Field("values", "text", "a function, and its arguments as JSON", required=True, maximum=1000),
        Field("factor", "number", "unused", default=1.0),
        Field("clip", "file", "unused"),
    )

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        """The warm-up request has numbers: they are added."""
        name, _, arguments = str(form["values"]).partition(" ")
        if not name.isidentifier():
            name, arguments = "add", "[1, 2]"
        result = decode_apart(f"{DECODING}:{name}", *json.loads(arguments or "[]"), limits=LIMITS, cancelled=cancelled)
        document = {"result": result, "imported here": DECODING in sys.modules}
        return Answer(json.dumps(document).encode(), "application/json")


def create(components: Components) -> Apart:
    return Apart()
