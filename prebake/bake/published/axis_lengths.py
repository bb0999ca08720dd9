"""Candidate lengths for the dynamic axes of a graph that does not say which lengths it accepts, in the order to try."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from math import prod

from prebake.bake.importers.signature import Signature
from prebake.bake.published.generated_inputs import Lengths, dynamic_axes

CANDIDATE_LENGTHS = (1, 2, 3, 16, 32, 64, 224, 320, 640, 512, 16_000)
IMAGE_SIZES = ((48, 192), (48, 320), (32, 100), (32, 320), (64, 256), (112, 96), (480, 640), (256, 128))
"""Heights and widths that networks for lines of text, faces and people accept."""
MAX_ELEMENTS = 1 << 24
"""Elements of all inputs together; larger inputs are not tried."""
MAX_TOKENS = 512
"""Longest axis if an input has integers, which usually are tokens: the memory of attention grows with the square."""
LARGE_ELEMENTS = 1 << 17
"""If the inputs have more elements than this, smaller ones are tried first."""
MODEST_LENGTHS = (32, 64, 224)
_BATCH = re.compile(r"batch.*|bs|b|n", re.IGNORECASE)
_CHANNELS = (1, 3, 4)
_OPERATORS: Mapping[type, Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
}  # fmt: skip


def candidate_lengths(signature: Signature, metadata: Mapping[str, str]) -> Iterator[Lengths]:
    """Lengths for a batch of 1: first the image size in the publisher's ``metadata``; then one length for all other axes; then
    images that are not square; then one long axis with all others of length 1."""
    batch, others = split_axes(signature)
    rows = dict.fromkeys(batch, 1)
    ones = dict.fromkeys(others, 1)
    published = _read_image_size(signature, metadata)
    candidates = chain(
        ({**ones, **published} for _ in range(1) if published),
        (dict.fromkeys(others, length) for length in CANDIDATE_LENGTHS),
        ({**ones, **sides} for sides in _image_sides(signature)),
        ({**ones, axis: length} for axis in others if len(others) > 1 for length in CANDIDATE_LENGTHS),
    )
    seen: list[Lengths] = []
    # Static axes alone may exceed MAX_ELEMENTS.
    smallest = count_elements(signature, _with_derived(dict.fromkeys(dynamic_axes(signature), 1)))
    has_tokens = any(tensor.dtype.startswith("int") and tensor.axes for tensor in signature.inputs)
    longest = MAX_TOKENS if has_tokens else CANDIDATE_LENGTHS[-1]
    for candidate in candidates:
        lengths = _with_derived({**rows, **candidate})
        elements = count_elements(signature, lengths)
        fits = max(lengths.values(), default=0) <= longest and elements <= max(MAX_ELEMENTS, smallest)
        if lengths not in seen and fits:
            seen.append(lengths)
            yield lengths


def other_lengths(signature: Signature, accepted: Lengths) -> Iterator[Lengths]:
    """Lengths other than the ``accepted`` ones: larger batch and longer axes together, then each alone. If the accepted inputs
    are large, smaller ones first."""
    batch, others = split_axes(signature)
    large = count_elements(signature, accepted) > LARGE_ELEMENTS
    candidates = [
        *(
            {**accepted, **dict.fromkeys(others, length), **dict.fromkeys(batch, 2)}
            for length in MODEST_LENGTHS
            if large
        ),
        {**accepted, **_scale(accepted, others, 2), **dict.fromkeys(batch, 2)},
        *({**accepted, **dict.fromkeys(others, length), **dict.fromkeys(batch, 3)} for length in MODEST_LENGTHS),
        {**accepted, **_scale(accepted, others, 3), **dict.fromkeys(batch, 3)},
        *({**accepted, **_scale(accepted, others, factor)} for factor in (2, 3)),
        *({**accepted, **dict.fromkeys(batch, rows)} for rows in (2, 3)),
        *({**accepted, **_scale(accepted, [axis], 2)} for axis in others),
    ]
    seen: list[Lengths] = [accepted]
    for lengths in map(_with_derived, candidates):
        if lengths not in seen and count_elements(signature, lengths) <= MAX_ELEMENTS:
            seen.append(lengths)
            yield lengths


def split_axes(signature: Signature) -> tuple[list[str], list[str]]:
    """The batch axes, and the other dynamic axes."""
    first = {str(tensor.axes[0]) for tensor in signature.inputs if len(tensor.axes) > 1}
    dynamic = dynamic_axes(signature)
    batch = [axis for axis in dynamic if axis in first or _BATCH.fullmatch(axis)]
    return batch, [axis for axis in dynamic if axis not in batch]


def count_elements(signature: Signature, lengths: Lengths) -> int:
    """Elements of all inputs together."""
    return sum(
        prod(axis if isinstance(axis, int) else lengths[axis] for axis in tensor.axes) for tensor in signature.inputs
    )


def _scale(lengths: Lengths, axes: list[str], factor: int) -> dict[str, int]:
    return {axis: lengths[axis] * factor for axis in axes}


def _image_sides(signature: Signature) -> Iterator[dict[str, int]]:
    """Lengths of the dynamic sides of an image input for each known image size."""
    for axes in _image_axes(signature):
        for size in IMAGE_SIZES:
            pairs = list(zip(axes, size, strict=True))
            if all(isinstance(axis, str) or axis == length for axis, length in pairs):
                yield {axis: length for axis, length in pairs if isinstance(axis, str)}


def _image_axes(signature: Signature) -> Iterator[tuple[int | str, int | str]]:
    """Height and width of each image input with a dynamic side."""
    for tensor in signature.inputs:
        if len(tensor.axes) != 4:
            continue
        height, width = (2, 3) if tensor.axes[1] in _CHANNELS else (1, 2)
        sides = tensor.axes[height], tensor.axes[width]
        if any(isinstance(axis, str) for axis in sides):
            yield sides


def _read_image_size(signature: Signature, metadata: Mapping[str, str]) -> dict[str, int]:
    """Ultralytics writes ``imgsz``: ``[640, 640]`` (height, width) or ``640``."""
    sizes = [int(size) for size in re.findall(r"\d+", metadata.get("imgsz", ""))][:2]
    if not sizes:
        return {}
    pair = (sizes[0], sizes[-1])
    return {
        axis: size
        for axes in _image_axes(signature)
        for axis, size in zip(axes, pair, strict=True)
        if isinstance(axis, str)
    }


def _with_derived(lengths: dict[str, int]) -> dict[str, int]:
    """Computes axes whose name is an expression of others, such as ``past + tokens``."""
    return {axis: _compute(axis, lengths, length) for axis, length in lengths.items()}


def _compute(name: str, lengths: Lengths, default: int) -> int:
    if name.isidentifier() or not re.fullmatch(r"[\w\s+*/()-]+", name):
        return default
    try:
        return _evaluate(ast.parse(name.strip(), mode="eval").body, lengths)
    except (SyntaxError, KeyError, ZeroDivisionError, RecursionError):
        return default


def _evaluate(node: ast.AST, lengths: Lengths) -> int:
    """Raises KeyError if the expression is not arithmetic over known axes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        return lengths[node.id]
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_evaluate(node.left, lengths), _evaluate(node.right, lengths))
    raise KeyError(ast.dump(node))
