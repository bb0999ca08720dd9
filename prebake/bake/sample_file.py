"""The sample of an image of published graphs: real inputs, or the shapes to make some up in.

``sample.json`` has an object for each component, and in it for each input nested lists,
``{"shape": [1, 3, 640, 640], "seed": 1}``, ``{"shape": [1, 77], "fill": 0}``, or ``{"file": "picture.npy"}``. ``sample.npz`` has
an array for each input, called ``INPUT`` or ``COMPONENT/INPUT``; ``sample.npy`` is the one input of the one component.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from prebake.bake.arrays import Array
from prebake.bake.errors import BakeError
from prebake.bake.made_up import fill
from prebake.bake.signature import STRING, Signature

NAMES = ("sample.json", "sample.npz", "sample.npy")
LITERAL = 256
"""Numbers of an input that are written out; of a larger one its shape and seed are."""
Samples = Mapping[str, Mapping[str, Any]]


def read_samples(folder: Path, components: Collection[str]) -> Samples:
    """By component, the inputs of the one sample file of ``folder``; empty if there is none. Raises BakeError."""
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise BakeError(f"{folder} has several samples: {names}.", next_action="Keep one.")
    return read_sample(found[0], components) if found else {}


def read_sample(path: Path, components: Collection[str]) -> Samples:
    """The samples of one file. Raises BakeError if it cannot be read, or names no component."""
    try:
        samples = json.loads(path.read_bytes()) if path.suffix == ".json" else _arrays(path, components)
    except (ValueError, OSError, EOFError) as error:
        kind = "JSON" if path.suffix == ".json" else "NumPy file without pickles"
        raise BakeError(f"{path} is no {kind}: {error}.", next_action="Correct it.") from error
    if not isinstance(samples, dict) or not all(isinstance(each, dict) for each in samples.values()):
        raise BakeError(f"{path} is no object of objects.", next_action="Give inputs by component and name.")
    if unknown := sorted(samples.keys() - set(components)):
        raise BakeError(
            f"{path.name} names {', '.join(unknown)}: image.yaml has no such component.",
            next_action=f"Give inputs by component: {', '.join(components)}.",
        )
    return samples


def _arrays(path: Path, components: Collection[str]) -> dict[str, dict[str, Any]]:
    first = next(iter(components))
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return {first: {"": found}}
    samples: dict[str, dict[str, Any]] = {}
    with found:
        for name in found.files:
            component, slash, own = name.partition("/")
            named = bool(slash) and component in components
            samples.setdefault(component if named else first, {})[own if named else name] = found[name]
    return samples


def fill_sample(component: str, signature: Signature, sample: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A sample in which every input is nested lists or an array: what has a shape is made up, what names a file is read. Raises
    BakeError."""
    named = {each.name: each for each in signature.inputs}
    given = dict(sample)
    if set(given) == {""} and len(named) == 1:
        given = {next(iter(named)): given[""]}
    for name, value in given.items():
        if not isinstance(value, dict) or name not in named:
            continue
        try:
            given[name] = _made(named[name], value, folder)
        except (ValueError, TypeError, OSError) as error:
            raise BakeError(
                f"{component}: the sample of {name} cannot be used: {error}.",
                next_action='Give nested lists, {"shape": [...], "seed": 1}, {"shape": [...], "fill": 0} or '
                '{"file": "NAME.npy"}, a file that `code.export` of image.yaml lists.',
            ) from error
    return given


def _made(tensor: Any, value: Mapping[str, Any], folder: Path) -> Array:
    if value.keys() == {"file"}:
        return cast(Array, np.load(folder / Path(str(value["file"])).name, allow_pickle=False))
    if "shape" not in value or not value.keys() <= {"shape", "seed", "fill"}:
        raise ValueError(f"it has {', '.join(map(str, value)) or 'nothing'}")
    shape = tuple(int(length) for length in value["shape"])
    if "fill" in value:
        return np.full(shape, value["fill"], object if tensor.dtype == STRING else tensor.dtype)
    return fill(np.random.default_rng(int(value.get("seed", 1))), tensor, shape)


def write_sample(inputs: Mapping[str, Array], seed: int = 1) -> dict[str, Any]:
    """Made-up inputs as ``sample.json`` has them: small ones written out."""
    return {name: _written(array, seed) for name, array in inputs.items()}


def _written(array: Array, seed: int) -> Any:
    shape = list(array.shape)
    if not array.size:  # of which nested lists lose the shape
        return {"shape": shape, "fill": "" if array.dtype == object else 0}
    if array.size <= LITERAL or array.dtype == object:
        return array.tolist()
    if array.dtype.kind in "iub" and np.all(array == array.flat[0]):
        return {"shape": shape, "fill": array.flat[0].item()}
    return {"shape": shape, "seed": seed}
