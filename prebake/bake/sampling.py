"""Inputs that a published graph really runs on: found by asking ONNX Runtime, size after size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prebake.bake.arrays import Array
from prebake.bake.errors import GraphRefused
from prebake.bake.made_up import PLAIN, VALUES, Lengths, make_inputs_of
from prebake.bake.published_file import Published
from prebake.bake.signature import Signature
from prebake.bake.sizes import first_sizes, further_sizes

RANKS = (2, 1, 3, 4, 0)
"""Numbers of axes to try of a tensor that may have any."""
FURTHER = 2
"""Made-up cases beside the first."""
_PATIENCE = 12
"""Sizes that are tried after one whose answer says nothing, in the hope of a better one."""


@dataclass(frozen=True)
class Made:
    """Inputs that the graph ran on, and what they were made of. ``fault``: why their answer proves little; empty as a rule."""

    inputs: Mapping[str, Array]
    lengths: Lengths
    values: str = PLAIN
    rank: int = 2
    fault: str = ""

    def describe(self) -> str:
        return describe_case(self.inputs)


def describe_case(inputs: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items()) or "no inputs"


def make_first(published: Published) -> Made:
    """The first made-up inputs that the graph takes. Raises GraphRefused, with what ONNX Runtime said, if there are none."""
    fallback: Made | None = None
    refusals: dict[str, str] = {}
    after = 0
    signatures = dict.fromkeys((published.hinted, published.signature))
    tries = ((each, lengths) for each in signatures for lengths in first_sizes(each, published.metadata))
    for signature, lengths in tries:
        made = _try(published, signature, lengths, refusals)
        if made is not None and not made.fault:
            return made
        fallback = fallback or made
        after += fallback is not None
        if after > _PATIENCE:
            break
    if fallback is not None:
        return fallback
    raise _refused(published, refusals)


def find_cases(published: Published, given: Sequence[Mapping[str, Array]]) -> list[Mapping[str, Array]]:
    """What is ``given``, or else the first made-up inputs that the graph takes, and up to two cases of other sizes, as far as the
    graph takes any. Raises GraphRefused if it takes none at all."""
    first = [*given, *([] if given else [make_first(published).inputs])]
    return [*first, *make_further(published, first[0])]


def make_further(published: Published, first: Mapping[str, Array]) -> list[Mapping[str, Array]]:
    """Up to two cases of other sizes than ``first``; of other numbers if it has no free axis, or is too large for longer ones."""
    found: list[Mapping[str, Array]] = []
    signature = published.hinted if _fits(published.hinted, first) else published.signature
    taken = _lengths(signature, first)
    sizes = list(further_sizes(signature, taken)) or [taken] * FURTHER
    for seed, lengths in enumerate(sizes, start=2):
        for values, rank in _ways(signature):
            inputs = make_inputs_of(signature, lengths, seed, values, rank)
            answer = ask(published, inputs)
            if isinstance(answer, dict) and not find_fault(answer):
                found.append(inputs)
                break
        if len(found) == FURTHER:
            break
    return found


def _fits(signature: Signature, case: Mapping[str, Array]) -> bool:
    return all(each.shape is None or len(each.shape) == case[each.name].ndim for each in signature.inputs)


def _lengths(signature: Signature, case: Mapping[str, Array]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in signature.inputs:
        for axis, length in zip(each.axes, case[each.name].shape, strict=False):
            if isinstance(axis, str):
                found.setdefault(axis, length)
    return found


def ask(published: Published, inputs: Mapping[str, Array]) -> dict[str, Array] | str:
    """The graph's answer, or why ONNX Runtime gives none."""
    names = [each.name for each in published.session.get_outputs()]
    try:
        return dict(zip(names, published.session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        return (str(error).strip() or type(error).__name__).splitlines()[0]


def answer_of(published: Published, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Raises GraphRefused if the graph does not take these inputs."""
    answer = ask(published, inputs)
    if isinstance(answer, dict):
        return answer
    raise GraphRefused(
        f"{published.component}: the published graph does not run on {describe_case(inputs)}: {answer}",
        next_action="Give inputs that it takes in the image's sample.json.",
    )


def find_fault(answer: Mapping[str, Array]) -> str:
    """Why an answer proves little: there is nothing in it, or an output has no number that is one."""
    if all(array.size == 0 for array in answer.values()):
        return "every output is empty"
    lost = [
        name for name, array in answer.items() if array.dtype.kind == "f" and array.size > 0 and np.all(np.isnan(array))
    ]
    return f"{', '.join(map(repr, lost))} is NaN everywhere" if lost else ""


def _try(published: Published, signature: Signature, lengths: Lengths, refusals: dict[str, str]) -> Made | None:
    for values, rank in _ways(signature):
        inputs = make_inputs_of(signature, lengths, seed=1, values=values, rank=rank)
        answer = ask(published, inputs)
        if isinstance(answer, dict):
            return Made(inputs, lengths, values, rank, find_fault(answer))
        refusals.setdefault(describe_case(inputs), answer)
    return None


def _ways(signature: Signature) -> Iterator[tuple[str, int]]:
    whole = any(each.dtype.startswith(("int", "uint")) for each in signature.inputs)
    ranks = RANKS if any(each.shape is None for each in signature.inputs) else RANKS[:1]
    return ((values, rank) for rank in ranks for values in (VALUES if whole else VALUES[:1]))


def _refused(published: Published, refusals: Mapping[str, str]) -> GraphRefused:
    told = list(refusals.items())
    shown = told if len(told) <= 4 else [*told[:2], *told[-2:]]
    takes = ", ".join(f"{each.name} {each.dtype} {_show(each.shape)}" for each in published.signature.inputs)
    lines = [
        f"{published.component}: the graph runs on none of {len(told)} made-up inputs. It takes {takes}.",
        *(f"  {case}: {said[:300]}" for case, said in shown),
    ]
    first = next((each.name for each in published.signature.inputs), "x")
    return GraphRefused(
        "\n".join(lines),
        next_action=f"Say the sizes that it takes, `prebake init … --input '{first}=[1, 3, 640, 640]'` (each input that has free "
        "axes), or give real inputs: `prebake init … --sample FILE`, an .npz with an array for each input, or a JSON such as "
        f'{{"{published.component}": {{"{first}": [[0.5, 1]]}}}}.',
    )


def _show(shape: Sequence[int | str] | None) -> str:
    return "of any shape" if shape is None else f"[{', '.join(map(str, shape))}]"
