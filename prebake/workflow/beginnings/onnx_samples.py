"""ONNX files as components: each is opened, and asked for inputs that it runs on before anything is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prebake.bake.arrays import Array
from prebake.bake.axes import settle_axes, unbound
from prebake.bake.errors import BakeError, GraphRefused
from prebake.bake.graph_files import external_files
from prebake.bake.made_up import VALUES, make_inputs_of
from prebake.bake.published_file import Published, examine
from prebake.bake.repeats import check_repeats
from prebake.bake.sample_file import Samples, fill_sample, read_sample, write_sample
from prebake.bake.sampling import answer_of, ask, describe_case, find_cases
from prebake.bake.signature import Signature, fit_inputs, read_tensor
from prebake.errors import Problem
from prebake.workflow.beginnings.beginning import Asked, refuse
from prebake.workflow.beginnings.graphs import Part


def look_into(asked: Asked, folder: Path, graphs: Mapping[str, Path]) -> tuple[list[Part], Mapping[str, bytes]]:
    """A part for each graph by name, and the files of the sample if the user gave one. Raises GraphRefused with the problems of
    all graphs."""
    samples = read_sample(asked.sample, list(graphs)) if asked.sample is not None else {}
    parts: list[Part] = []
    refused: list[BakeError] = []
    seen: set[str] = set()
    for name, graph in graphs.items():
        try:
            published = examine(name, graph).asking(samples.get(name, ()))
            seen |= {each.name for each in published.signature.inputs}
            parts.append(_part(asked, folder, graph, published, samples))
        except BakeError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        advice = dict.fromkeys(each.next_action for each in refused)
        raise GraphRefused("\n".join(each.message for each in refused), next_action=" ".join(advice))
    problems = [Problem(name, "is told by --input, and is no input") for name in asked.inputs if name not in seen]
    refuse(f"{asked.origin}:", problems, f"its inputs are {', '.join(sorted(seen))}")
    return parts, _copied(asked)


def _part(asked: Asked, folder: Path, graph: Path, published: Published, samples: Samples) -> Part:
    name = published.component
    first = _first(asked, published, samples)
    cases = find_cases(published, [] if first is None else [first])
    answers = [answer_of(published, case) for case in cases]
    notes = list(check_repeats(published, cases, answers))
    for note in [*_notes(published, cases, told=asked.sample is not None), *notes]:
        asked.tell(f"init: {name}: {note}")
    signature = settle_axes(published, cases)
    beside = graph.parent.relative_to(folder)
    places = tuple((beside / file).as_posix() for file in (graph.name, *external_files(graph)))
    sample = _written(published, cases[0]) if asked.sample is None else None  # the build reads one file of samples
    return Part(name, "onnx", places[0], places, signature, sample)


def _first(asked: Asked, published: Published, samples: Samples) -> Mapping[str, Array] | None:
    """What the user gave for the graph, in whole or by its sizes; None if nothing."""
    name, signature = published.component, unbound(published.signature)
    if name in samples and asked.sample is not None:
        return fit_inputs(name, signature, fill_sample(name, signature, samples[name], asked.sample.parent))
    if not any(each.name in asked.inputs for each in signature.inputs):
        return None
    sized = _sized(asked, signature)
    refusals: list[str] = []
    for values in VALUES:
        inputs = make_inputs_of(sized, {}, seed=1, values=values)
        answer = ask(published, inputs)
        if isinstance(answer, dict):
            return inputs
        refusals.append(answer)
    raise GraphRefused(
        f"{name}: the graph does not run on {describe_case(inputs)}: {refusals[0]}",
        next_action="Say other sizes by --input, or give real inputs by --sample FILE (.npz, .npy or .json).",
    )


def _sized(asked: Asked, signature: Signature) -> Signature:
    """With the shapes that the user said. Raises InitRefused where they are none, or not the graph's."""
    problems: list[Problem] = []
    inputs = []
    for each in signature.inputs:
        said = read_tensor(each.name, asked.inputs[each.name]) if each.name in asked.inputs else each
        if said.dtype not in ("", each.dtype):
            problems.append(Problem(each.name, f"is {each.dtype}, not {said.dtype}"))
        if any(isinstance(axis, str) for axis in said.axes):
            problems.append(Problem(each.name, f"has free axes: {', '.join(map(str, said.axes))}", "say their lengths"))
        inputs.append(replace(each, shape=said.shape))
    refuse(f"{asked.origin} tells its inputs; --input says the sizes to ask it with:", problems, "correct --input")
    return replace(signature, inputs=tuple(inputs))


def _notes(published: Published, cases: list[Mapping[str, Array]], *, told: bool) -> Iterator[str]:
    if not told:
        yield f"runs on made-up inputs {describe_case(cases[0])}; sample.json has them, put real ones there"
    free = any(isinstance(axis, str) for each in published.signature.inputs for axis in each.axes)
    if free and len(cases) == 1:
        yield "is proved at this one size: it runs on no other that was tried"
    if published.defaults:
        names = ", ".join(published.defaults)
        yield f"has values of its own for {names}, which stay; an input of that name in sample.json has requests give it"
    if published.locale:
        yield f"normalises text in the locale {published.locale}, as the base system has no other"


def _written(published: Published, inputs: Mapping[str, Array]) -> Mapping[str, Any]:
    """As sample.json has them: in shapes and seeds if they are large, and if the graph runs on those as well."""
    written = write_sample(inputs)
    again = fill_sample(published.component, published.signature, written, Path())
    arrays = fit_inputs(published.component, unbound(published.signature), again)
    if isinstance(ask(published, arrays), dict):
        return written
    return {name: array.tolist() for name, array in inputs.items()}


def _copied(asked: Asked) -> Mapping[str, bytes]:
    """The user's sample under the name that the build reads, and the arrays that it refers to."""
    path = asked.sample
    if path is None:
        return {}
    files = {f"sample{path.suffix}": path.read_bytes()}
    if path.suffix == ".json":
        for inputs in json.loads(files["sample.json"]).values():
            for value in (each for each in inputs.values() if isinstance(each, dict) and "file" in each):
                name = Path(str(value["file"])).name
                files[name] = (path.parent / name).read_bytes()
    return files
