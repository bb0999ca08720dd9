"""Finds inputs that a published graph accepts, by running it on generated inputs of one size after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prebake.bake.errors import GraphRefused
from prebake.bake.importers.signature import Signature
from prebake.bake.published.axis_lengths import candidate_lengths, other_lengths
from prebake.bake.published.generated_inputs import PLAIN, VALUE_KINDS, Lengths, generate_inputs
from prebake.bake.published.graph_file import PublishedGraph
from prebake.bake.weights.numpy_arrays import Array

RANKS = (2, 1, 3, 4, 0)
"""Ranks to try for a tensor of unknown rank."""
OTHER_CASES = 2
"""Generated cases in addition to the first."""
_MAX_TRIES_AFTER_FALLBACK = 12
"""Sizes to try after one whose outputs prove little."""


@dataclass(frozen=True)
class GeneratedCase:
    """Inputs that the graph ran on, and how they were generated."""

    inputs: Mapping[str, Array]
    lengths: Lengths
    values: str = PLAIN
    rank: int = 2
    fault: str = ""
    """Why their outputs prove little; empty if they do not."""

    def describe(self) -> str:
        return describe_shapes(self.inputs)


def describe_shapes(inputs: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items()) or "no inputs"


def find_first_case(published: PublishedGraph) -> GeneratedCase:
    """The first generated inputs that the graph accepts. Raises GraphRefused, with ONNX Runtime's errors, if there are none."""
    fallback: GeneratedCase | None = None
    refusals: dict[str, str] = {}
    tries_after_fallback = 0
    signatures = dict.fromkeys((published.hinted_signature, published.signature))
    candidates = (
        (signature, lengths) for signature in signatures for lengths in candidate_lengths(signature, published.metadata)
    )
    for signature, lengths in candidates:
        case = _try_lengths(published, signature, lengths, refusals)
        if case is not None and not case.fault:
            return case
        fallback = fallback or case
        tries_after_fallback += fallback is not None
        if tries_after_fallback > _MAX_TRIES_AFTER_FALLBACK:
            break
    if fallback is not None:
        return fallback
    raise _refused(published, refusals)


def find_cases(published: PublishedGraph, given: Sequence[Mapping[str, Array]]) -> list[Mapping[str, Array]]:
    """The ``given`` inputs, or else the first generated inputs that the graph accepts; and up to two cases of other sizes.

    Raises GraphRefused if the graph accepts no generated inputs.
    """
    first = [*given, *([] if given else [find_first_case(published).inputs])]
    return [*first, *find_other_cases(published, first[0])]


def find_other_cases(published: PublishedGraph, first: Mapping[str, Array]) -> list[Mapping[str, Array]]:
    """Up to two cases of other sizes than ``first``; of other values if it has no dynamic axis, or is too large to grow."""
    cases: list[Mapping[str, Array]] = []
    hinted = published.hinted_signature
    signature = hinted if _fits(hinted, first) else published.signature
    accepted = _read_lengths(signature, first)
    sizes = list(other_lengths(signature, accepted)) or [accepted] * OTHER_CASES
    for seed, lengths in enumerate(sizes, start=2):
        for values, rank in _list_variants(signature):
            inputs = generate_inputs(signature, lengths, seed, values, rank)
            outputs = try_run(published, inputs)
            if isinstance(outputs, dict) and not find_output_fault(outputs):
                cases.append(inputs)
                break
        if len(cases) == OTHER_CASES:
            break
    return cases


def _fits(signature: Signature, case: Mapping[str, Array]) -> bool:
    return all(tensor.shape is None or len(tensor.shape) == case[tensor.name].ndim for tensor in signature.inputs)


def _read_lengths(signature: Signature, case: Mapping[str, Array]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for tensor in signature.inputs:
        for axis, length in zip(tensor.axes, case[tensor.name].shape, strict=False):
            if isinstance(axis, str):
                lengths.setdefault(axis, length)
    return lengths


def try_run(published: PublishedGraph, inputs: Mapping[str, Array]) -> dict[str, Array] | str:
    """The graph's outputs by name, or the first line of ONNX Runtime's error."""
    names = [value.name for value in published.session.get_outputs()]
    try:
        return dict(zip(names, published.session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # ONNX Runtime's exceptions have no common base class but Exception
        return (str(error).strip() or type(error).__name__).splitlines()[0]


def run_graph(published: PublishedGraph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The graph's outputs by name. Raises GraphRefused if it does not run on these inputs."""
    outputs = try_run(published, inputs)
    if isinstance(outputs, dict):
        return outputs
    raise GraphRefused(
        f"{published.component}: the published graph does not run on {describe_shapes(inputs)}: {outputs}",
        next_action="give inputs that it accepts in the image's sample.json",
    )


def find_output_fault(outputs: Mapping[str, Array]) -> str:
    """Why outputs prove little: all are empty, or one is NaN everywhere. Empty if neither."""
    if all(array.size == 0 for array in outputs.values()):
        return "every output is empty"
    nan = [
        name
        for name, array in outputs.items()
        if array.dtype.kind == "f" and array.size > 0 and np.all(np.isnan(array))
    ]
    return f"{', '.join(map(repr, nan))} is NaN everywhere" if nan else ""


def _try_lengths(
    published: PublishedGraph, signature: Signature, lengths: Lengths, refusals: dict[str, str]
) -> GeneratedCase | None:
    """Adds the error for each refused shape to ``refusals``."""
    for values, rank in _list_variants(signature):
        inputs = generate_inputs(signature, lengths, seed=1, values=values, rank=rank)
        outputs = try_run(published, inputs)
        if isinstance(outputs, dict):
            return GeneratedCase(
                inputs=inputs, lengths=lengths, values=values, rank=rank, fault=find_output_fault(outputs)
            )
        refusals.setdefault(describe_shapes(inputs), outputs)
    return None


def _list_variants(signature: Signature) -> Iterator[tuple[str, int]]:
    """Kinds of values and ranks to try."""
    has_integers = any(tensor.dtype.startswith(("int", "uint")) for tensor in signature.inputs)
    ranks = RANKS if any(tensor.shape is None for tensor in signature.inputs) else RANKS[:1]
    return ((values, rank) for rank in ranks for values in (VALUE_KINDS if has_integers else VALUE_KINDS[:1]))


def _refused(published: PublishedGraph, refusals: Mapping[str, str]) -> GraphRefused:
    errors = list(refusals.items())
    shown = errors if len(errors) <= 4 else [*errors[:2], *errors[-2:]]
    inputs = published.signature.inputs
    signature = ", ".join(f"{tensor.name} {tensor.dtype} {_show(tensor.shape)}" for tensor in inputs)
    lines = [
        f"{published.component}: the graph runs on none of {len(errors)} generated inputs. Its inputs are {signature}.",
        *(f"  {shapes}: {error[:300]}" for shapes, error in shown),
    ]
    first = next((tensor.name for tensor in inputs), "x")
    return GraphRefused(
        "\n".join(lines),
        next_action=f"give shapes that it accepts, `prebake init … --input '{first}=[1, 3, 640, 640]'` (for each input with "
        "dynamic axes), or real inputs, `prebake init … --sample FILE`: an .npz with an array for each input, or a JSON such as "
        f'{{"{published.component}": {{"{first}": [[0.5, 1]]}}}}',
    )


def _show(shape: Sequence[int | str] | None) -> str:
    return "of any shape" if shape is None else f"[{', '.join(map(str, shape))}]"
