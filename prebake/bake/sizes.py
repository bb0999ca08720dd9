"""Lengths of free axes to try on a graph that does not say which it takes, in the order in which they are tried."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from math import prod

from prebake.bake.made_up import Lengths, free_axes
from prebake.bake.signature import Signature

LADDER = (1, 2, 3, 16, 32, 64, 224, 320, 640, 512, 16_000)
HEIGHTS = ((48, 192), (48, 320), (32, 100), (32, 320), (64, 256), (112, 96), (480, 640), (256, 128))
"""Heights and widths that networks for lines of text, faces and people take."""
MOST = 1 << 24
"""Numbers of all inputs together; larger ones are not tried."""
LONGEST_TEXT = 512
"""Of whole numbers, which are tokens as a rule: attention over more takes memory by its square."""
LARGE = 1 << 17
"""Numbers of all inputs together from which smaller sizes are tried first."""
MODEST = (32, 64, 224)
_BATCH = re.compile(r"batch.*|bs|b|n", re.IGNORECASE)
_COLOURS = (1, 3, 4)
_OPERATORS: Mapping[type, Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
}  # fmt: skip


def first_sizes(signature: Signature, metadata: Mapping[str, str]) -> Iterator[Lengths]:
    """Of one row: what the publisher's ``metadata`` says, then every other axis of one length, then pictures that are no squares,
    then one long axis alone."""
    batch, others = split_axes(signature)
    rows = dict.fromkeys(batch, 1)
    told = _told(signature, metadata)
    every = chain(
        ({**dict.fromkeys(others, 1), **told} for _ in range(1) if told),
        (dict.fromkeys(others, length) for length in LADDER),
        ({**dict.fromkeys(others, 1), **each} for each in _pictures(signature)),
        ({**dict.fromkeys(others, 1), axis: length} for axis in others if len(others) > 1 for length in LADDER),
    )
    seen: list[Lengths] = []
    least = count(
        signature, _derived(dict.fromkeys(free_axes(signature), 1))
    )  # of fixed axes alone it may be more than MOST
    most = LONGEST_TEXT if any(each.dtype.startswith("int") and each.axes for each in signature.inputs) else LADDER[-1]
    for each in every:
        lengths = _derived({**rows, **each})
        numbers = count(signature, lengths)
        if lengths not in seen and max(lengths.values(), default=0) <= most and numbers <= max(MOST, least):
            seen.append(lengths)
            yield lengths


def further_sizes(signature: Signature, taken: Lengths) -> Iterator[Lengths]:
    """Others than ``taken``: more rows and longer axes first, then each alone. If the taken are large, smaller ones first."""
    batch, others = split_axes(signature)
    large = count(signature, taken) > LARGE
    tries = [
        *({**taken, **dict.fromkeys(others, each), **dict.fromkeys(batch, 2)} for each in MODEST if large),
        {**taken, **_times(taken, others, 2), **dict.fromkeys(batch, 2)},
        *({**taken, **dict.fromkeys(others, each), **dict.fromkeys(batch, 3)} for each in MODEST),
        {**taken, **_times(taken, others, 3), **dict.fromkeys(batch, 3)},
        *({**taken, **_times(taken, others, by)} for by in (2, 3)),
        *({**taken, **dict.fromkeys(batch, by)} for by in (2, 3)),
        *({**taken, **_times(taken, [axis], 2)} for axis in others),
    ]
    seen: list[Lengths] = [taken]
    for each in map(_derived, tries):
        if each not in seen and count(signature, each) <= MOST:
            seen.append(each)
            yield each


def split_axes(signature: Signature) -> tuple[list[str], list[str]]:
    """The axes that count rows, and the others."""
    first = {str(each.axes[0]) for each in signature.inputs if len(each.axes) > 1}
    free = free_axes(signature)
    batch = [axis for axis in free if axis in first or _BATCH.fullmatch(axis)]
    return batch, [axis for axis in free if axis not in batch]


def count(signature: Signature, lengths: Lengths) -> int:
    """Numbers of all inputs together."""
    return sum(
        prod(axis if isinstance(axis, int) else lengths[axis] for axis in each.axes) for each in signature.inputs
    )


def _times(lengths: Lengths, axes: list[str], by: int) -> dict[str, int]:
    return {axis: lengths[axis] * by for axis in axes}


def _pictures(signature: Signature) -> Iterator[dict[str, int]]:
    return ({axis: length for axis, length in zip(axes, pair, strict=True) if isinstance(axis, str)}
            for axes in _sides(signature) for pair in HEIGHTS
            if all(isinstance(axis, str) or axis == length for axis, length in zip(axes, pair, strict=True)))  # fmt: skip


def _sides(signature: Signature) -> Iterator[tuple[int | str, int | str]]:
    """Height and width of the inputs that are pictures, some of it free."""
    for each in signature.inputs:
        if len(each.axes) != 4:
            continue
        places = (2, 3) if each.axes[1] in _COLOURS else (1, 2)
        sides = each.axes[places[0]], each.axes[places[1]]
        if any(isinstance(axis, str) for axis in sides):
            yield sides


def _told(signature: Signature, metadata: Mapping[str, str]) -> dict[str, int]:
    """Ultralytics writes ``imgsz``: ``[640, 640]`` or ``640``, height first."""
    sizes = [int(each) for each in re.findall(r"\d+", metadata.get("imgsz", ""))][:2]
    if not sizes:
        return {}
    pair = (sizes[0], sizes[-1])
    return {
        axis: size for axes in _sides(signature) for axis, size in zip(axes, pair, strict=True) if isinstance(axis, str)
    }


def _derived(lengths: dict[str, int]) -> dict[str, int]:
    """Axes that are named by a sum or a product of others, as ``past + tokens``, have that length."""
    return {axis: _computed(axis, lengths, length) for axis, length in lengths.items()}


def _computed(name: str, lengths: Lengths, otherwise: int) -> int:
    if name.isidentifier() or not re.fullmatch(r"[\w\s+*/()-]+", name):
        return otherwise
    try:
        return _evaluate(ast.parse(name.strip(), mode="eval").body, lengths)
    except (SyntaxError, KeyError, ZeroDivisionError, RecursionError):
        return otherwise


def _evaluate(node: ast.AST, lengths: Lengths) -> int:
    """Raises KeyError for what is no arithmetic of known axes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        return lengths[node.id]
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_evaluate(node.left, lengths), _evaluate(node.right, lengths))
    raise KeyError(ast.dump(node))
