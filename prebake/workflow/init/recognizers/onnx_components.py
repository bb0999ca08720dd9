"""ONNX files as components: each is opened and run on inputs before a file is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prebake.bake.errors import BakeError, GraphRefused
from prebake.bake.graphs.onnx_files import find_external_files
from prebake.bake.importers.signature import Signature, fit_inputs, parse_tensor
from prebake.bake.published.axis_names import separate_axes, verify_axis_names
from prebake.bake.published.determinism import check_determinism
from prebake.bake.published.generated_inputs import VALUE_KINDS, generate_inputs
from prebake.bake.published.graph_file import PublishedGraph, inspect_graph
from prebake.bake.published.input_search import describe_shapes, find_cases, run_graph, try_run
from prebake.bake.published.sample_file import Samples, fill_sample, read_sample, write_sample
from prebake.bake.weights.numpy_arrays import Array
from prebake.errors import Problem
from prebake.workflow.init.recognizers.graph_image import GraphFile
from prebake.workflow.init.recognizers.recognizer import ImageDraft, refuse


def inspect_graphs(
    draft: ImageDraft, folder: Path, graphs: Mapping[str, Path]
) -> tuple[list[GraphFile], Mapping[str, bytes]]:
    """Each graph as a component, and the files of the user's sample. Raises GraphRefused with the problems of all graphs."""
    samples = read_sample(draft.request.sample, list(graphs)) if draft.request.sample is not None else {}
    parts: list[GraphFile] = []
    refused: list[BakeError] = []
    seen: set[str] = set()
    for name, graph in graphs.items():
        try:
            published = inspect_graph(name, graph).with_inputs(samples.get(name, ()))
            seen |= {tensor.name for tensor in published.signature.inputs}
            parts.append(_part(draft, folder, graph, published, samples))
        except BakeError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        advice = dict.fromkeys(error.next_action for error in refused)
        raise GraphRefused("\n".join(error.message for error in refused), next_action="; ".join(advice))
    problems = [
        Problem(name, "is given by --input, but is not an input") for name in draft.request.inputs if name not in seen
    ]
    refuse(f"{draft.request.origin}:", problems, f"its inputs are {', '.join(sorted(seen))}")
    return parts, _copy_sample(draft)


def _part(draft: ImageDraft, folder: Path, graph: Path, published: PublishedGraph, samples: Samples) -> GraphFile:
    name = published.component
    first = _given_inputs(draft, published, samples)
    cases = find_cases(published, [] if first is None else [first])
    answers = [run_graph(published, case) for case in cases]
    notes = list(check_determinism(published, cases, answers))
    for note in [*_notes(published, cases, given=draft.request.sample is not None), *notes]:
        draft.log(f"init: {name}: {note}")
    signature = verify_axis_names(published, cases)
    beside = graph.parent.relative_to(folder)
    places = tuple((beside / file).as_posix() for file in (graph.name, *find_external_files(graph)))
    sample = (
        _sample_values(published, cases[0]) if draft.request.sample is None else None
    )  # the build reads one sample file
    return GraphFile(name, "onnx", places[0], places, signature, sample)


def _given_inputs(draft: ImageDraft, published: PublishedGraph, samples: Samples) -> Mapping[str, Array] | None:
    """The user's inputs of the graph, given as a sample or by their sizes; None without either."""
    name, signature = published.component, separate_axes(published.signature)
    if name in samples and draft.request.sample is not None:
        return fit_inputs(name, signature, fill_sample(name, signature, samples[name], draft.request.sample.parent))
    if not any(tensor.name in draft.request.inputs for tensor in signature.inputs):
        return None
    sized = _sized(draft, signature)
    refusals: list[str] = []
    for values in VALUE_KINDS:
        inputs = generate_inputs(sized, {}, seed=1, values=values)
        answer = try_run(published, inputs)
        if isinstance(answer, dict):
            return inputs
        refusals.append(answer)
    raise GraphRefused(
        f"{name}: the graph does not run on {describe_shapes(inputs)}: {refusals[0]}",
        next_action="give other sizes by --input, or real inputs by --sample FILE (.npz, .npy or .json)",
    )


def _sized(draft: ImageDraft, signature: Signature) -> Signature:
    """The signature with the user's shapes. Raises InitRefused if they are not fixed, or do not fit the graph."""
    problems: list[Problem] = []
    inputs = []
    for tensor in signature.inputs:
        given = draft.request.inputs.get(tensor.name)
        sized = tensor if given is None else parse_tensor(tensor.name, given)
        if sized.dtype not in ("", tensor.dtype):
            problems.append(Problem(tensor.name, f"is {tensor.dtype}, not {sized.dtype}"))
        if any(isinstance(axis, str) for axis in sized.axes):
            free = ", ".join(map(str, sized.axes))
            problems.append(Problem(tensor.name, f"has dynamic axes: {free}", "give their lengths"))
        inputs.append(replace(tensor, shape=sized.shape))
    refuse(
        f"{draft.request.origin} declares its inputs' types; --input only chooses their sizes:",
        problems,
        "correct --input",
    )
    return replace(signature, inputs=tuple(inputs))


def _notes(published: PublishedGraph, cases: list[Mapping[str, Array]], *, given: bool) -> Iterator[str]:
    if not given:
        yield f"runs on generated inputs {describe_shapes(cases[0])}; replace those in sample.json by real ones"
    free = any(isinstance(axis, str) for tensor in published.signature.inputs for axis in tensor.axes)
    if free and len(cases) == 1:
        yield "is verified at this size only: it did not run on the other sizes that init tried"
    if published.defaults:
        names = ", ".join(published.defaults)
        yield f"has default values for {names}; add such an input to sample.json if requests give it"
    if published.locale:
        yield f"normalizes text in the locale {published.locale}, since the base system has no other"


def _sample_values(published: PublishedGraph, inputs: Mapping[str, Array]) -> Mapping[str, Any]:
    """The inputs for sample.json: as shapes and seeds if they are large and the graph runs on those too."""
    written = write_sample(inputs)
    again = fill_sample(published.component, published.signature, written, Path())
    arrays = fit_inputs(published.component, separate_axes(published.signature), again)
    if isinstance(try_run(published, arrays), dict):
        return written
    return {name: array.tolist() for name, array in inputs.items()}


def _copy_sample(draft: ImageDraft) -> Mapping[str, bytes]:
    """The user's sample under the name that the build reads, and the arrays that it names."""
    path = draft.request.sample
    if path is None:
        return {}
    files = {f"sample{path.suffix}": path.read_bytes()}
    if path.suffix == ".json":
        for inputs in json.loads(files["sample.json"]).values():
            for value in (value for value in inputs.values() if isinstance(value, dict) and "file" in value):
                name = Path(str(value["file"])).name
                files[name] = (path.parent / name).read_bytes()
    return files
