"""A model that takes a form, asked by the protocol: its fields are inputs of one element each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from entrypoints.contract import Answer, BadRequest, Field
from entrypoints.open_inference.infer.tensor_data import fill_objects
from entrypoints.open_inference.models import FORM_BODY, FORM_MEDIA_TYPE


def read_parts(fields: Sequence[Field], inputs: Mapping[str, np.ndarray]) -> dict[str, object]:
    """The parts of a form as JSON has them, but for a file in binary data, which is ``bytes``; in JSON a file is in base64.

    Raises BadRequest (400) for binary data of a text that is not UTF-8.
    """
    files = {field.name for field in fields if field.kind == "file"}
    parts: dict[str, object] = {}
    for name, array in inputs.items():
        value = array.reshape(()).item()
        try:
            parts[name] = value.decode() if isinstance(value, bytes) and name not in files else value
        except UnicodeDecodeError as error:
            raise BadRequest(f"{name} should be text in UTF-8: {error}.", field=name, status=400) from None
    return parts


def make_outputs(answer: Answer) -> dict[str, np.ndarray]:
    """The outputs ``body`` and ``media_type``. The body is ``str`` if its media type says that it is text."""
    body = decode_text(answer) if is_text(answer.media_type) else answer.body
    return {FORM_BODY: fill_objects([body], (1,)), FORM_MEDIA_TYPE: fill_objects([answer.media_type], (1,))}


def is_text(media_type: str) -> bool:
    kind = media_type.partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind == "application/json" or kind.endswith("+json")


def decode_text(answer: Answer) -> str | bytes:
    try:
        return answer.body.decode()
    except UnicodeDecodeError:
        return answer.body
