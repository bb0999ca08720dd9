"""The sample of an image of published graphs: real inputs, or shapes to generate inputs of.

``sample.json`` has an object for each component. It maps each input to nested lists, ``{"shape": [1, 3, 640, 640], "seed": 1}``,
``{"shape": [1, 77], "fill": 0}`` or ``{"file": "picture.npy"}``. ``sample.npz`` has an array for each input, named ``INPUT`` or
``COMPONENT/INPUT``. ``sample.npy`` is the only input of the only component.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from prebake.bake.errors import BakeError
from prebake.bake.importers.signature import Signature, TensorSignature
from prebake.bake.published.generated_inputs import fill
from prebake.bake.weights.dtypes import STRING
from prebake.bake.weights.numpy_arrays import Array

SAMPLE_FILES = ("sample.json", "sample.npz", "sample.npy")
MAX_LITERAL_ELEMENTS = 256
"""A generated input of at most this many elements is written as nested lists, a larger one as its shape and seed."""
Samples = Mapping[str, Mapping[str, Any]]


def read_samples(folder: Path, components: Collection[str]) -> Samples:
    """The inputs in the sample file of ``folder``, by component; empty if there is none.

    Raises BakeError if there are several, or as ``read_sample``.
    """
    paths = [folder / name for name in SAMPLE_FILES if (folder / name).is_file()]
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise BakeError(f"{folder} has several sample files: {names}.", next_action="keep one of them")
    return read_sample(paths[0], components) if paths else {}


def read_sample(path: Path, components: Collection[str]) -> Samples:
    """The inputs in a sample file, by component. Raises BakeError if it is invalid, or names an unknown component."""
    try:
        samples = json.loads(path.read_bytes()) if path.suffix == ".json" else _arrays(path, components)
    except (ValueError, OSError, EOFError) as error:
        kind = "JSON" if path.suffix == ".json" else "NumPy file without pickles"
        raise BakeError(f"{path} is not a {kind}: {error}.", next_action="correct the file") from error
    if not isinstance(samples, dict) or not all(isinstance(inputs, dict) for inputs in samples.values()):
        raise BakeError(
            f"{path} is not an object of objects.", next_action='write {"COMPONENT": {"INPUT": [[0.5, 1]]}}'
        )
    if unknown := sorted(samples.keys() - set(components)):
        raise BakeError(
            f"{path.name} names {', '.join(unknown)}, which image.yaml does not define as a component.",
            next_action=f"use the names of its components: {', '.join(components)}",
        )
    return samples


def _arrays(path: Path, components: Collection[str]) -> dict[str, dict[str, Any]]:
    first = next(iter(components))
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return {first: {"": loaded}}
    samples: dict[str, dict[str, Any]] = {}
    with loaded:
        for name in loaded.files:
            component, _, input_name = name.partition("/")
            if not input_name or component not in components:
                component, input_name = first, name
            samples.setdefault(component, {})[input_name] = loaded[name]
    return samples


def fill_sample(component: str, signature: Signature, sample: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The sample with every input as nested lists or an array: shapes are replaced by generated arrays, file names by the files'
    content. Raises BakeError if an entry is invalid."""
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    given = dict(sample)
    if set(given) == {""} and len(tensors) == 1:
        given = {next(iter(tensors)): given[""]}
    for name, value in given.items():
        if not isinstance(value, dict) or name not in tensors:
            continue
        try:
            given[name] = _make_array(tensors[name], value, folder)
        except (ValueError, TypeError, OSError) as error:
            raise BakeError(
                f"{component}: the sample of the input {name} cannot be used: {error}.",
                next_action='give nested lists, {"shape": [...], "seed": 1}, {"shape": [...], "fill": 0} or '
                '{"file": "NAME.npy"}, a file listed under `code.export` in image.yaml',
            ) from error
    return given


def _make_array(tensor: TensorSignature, value: Mapping[str, Any], folder: Path) -> Array:
    if value.keys() == {"file"}:
        return cast(Array, np.load(folder / Path(str(value["file"])).name, allow_pickle=False))
    if "shape" not in value or not value.keys() <= {"shape", "seed", "fill"}:
        raise ValueError(f"its keys are {', '.join(map(str, value)) or 'missing'}")
    shape = tuple(int(length) for length in value["shape"])
    if "fill" in value:
        return np.full(shape, value["fill"], object if tensor.dtype == STRING else tensor.dtype)
    return fill(np.random.default_rng(int(value.get("seed", 1))), tensor, shape)


def write_sample(inputs: Mapping[str, Array], seed: int = 1) -> dict[str, Any]:
    """Generated inputs in the form of ``sample.json``."""
    return {name: _to_json(array, seed) for name, array in inputs.items()}


def _to_json(array: Array, seed: int) -> Any:
    shape = list(array.shape)
    if not array.size:  # nested lists would lose the shape
        return {"shape": shape, "fill": "" if array.dtype == object else 0}
    if array.size <= MAX_LITERAL_ELEMENTS or array.dtype == object:
        return array.tolist()
    if array.dtype.kind in "iub" and np.all(array == array.flat[0]):
        return {"shape": shape, "fill": array.flat[0].item()}
    return {"shape": shape, "seed": seed}
