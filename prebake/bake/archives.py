"""What torch.export's archive (``.pt2``) says of itself, read from its documents alone: nothing of it is loaded or run.

The format is that of ``torch.export.pt2_archive`` since torch 2.8; ``models/model.json`` follows ``torch._export.serde.schema``.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prebake.bake.errors import BakeError
from prebake.bake.signature import Signature, TensorSignature

_MODEL = "models/model.json"
_PAYLOADS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
# torch._export.serde.schema.ScalarType, of the types that numpy has.
_TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 12: "bool",
    28: "uint16", 34: "uint32", 35: "uint64",
}  # fmt: skip
# What torch itself takes apart; a class of another library can be loaded by that library alone.
_STRUCTURES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
_SYMBOL = re.compile(r"Symbol\('(\w+)'[^)]*\)")
_SAVE_AGAIN = (
    "Save it again: torch.export.save(torch.export.export(module, example_inputs), PATH), by torch 2.8 or newer."
)


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a zip archive that torch.export wrote."""
    return zipfile.is_zipfile(path) and any(_is(name, "archive_format") for name in _names(path))


def read_archive(component: str, path: Path) -> Signature:
    """Inputs and outputs of the program. A free axis is called by its first place, as ``ids.0``.

    Raises BakeError with everything that keeps it from being baked: inputs that are no tensors, pickled weights.
    """
    try:
        model, payloads = _document(path, _MODEL), [_document(path, name) for name in _PAYLOADS]
        faults = [f"'{name}' is pickled" for each in payloads for name in _pickled(each)]
        signature, others = _signature(model)
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BakeError(
            f"{component}: {path.name} is no whole archive of torch.export: {str(error) or type(error).__name__}.",
            next_action=_SAVE_AGAIN,
        ) from error
    if faults := faults + others:
        raise BakeError(
            f"{component}: {path.name} cannot be baked: {'; '.join(faults)}.",
            next_action="Export a module that takes and gives tensors of numpy's types, several in tuples or dictionaries, and "
            "has no others for weights.",
        )
    return signature


def _names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _is(name: str, wanted: str) -> bool:
    """Everything in the archive lies in one folder, of any name."""
    return name.partition("/")[2] == wanted


def _document(path: Path, wanted: str) -> Mapping[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found = next((name for name in archive.namelist() if _is(name, wanted)), None)
        if found is None:
            raise KeyError(f"it holds no {wanted}")
        document = json.loads(archive.read(found))
    if not isinstance(document, dict):
        raise TypeError(f"{wanted} holds no object")
    return document


def _pickled(payload: Mapping[str, Any]) -> Iterator[str]:
    """Weights of a class of their own: torch unpickles them without restriction."""
    yield from (name for name, each in payload["config"].items() if each["use_pickle"])


def _signature(model: Mapping[str, Any]) -> tuple[Signature, list[str]]:
    """And every fault."""
    module = model["graph_module"]
    said, values = module["signature"], module["graph"]["tensor_values"]
    whole = next(each["signature"] for each in module["module_call_graph"] if each["fqn"] == "")
    axes: dict[str, str] = {}
    gives = json.loads(whole["out_spec"])[1]
    faults = [
        f"it takes or gives a {kind}" for each in (json.loads(whole["in_spec"])[1], gives) for kind in _others(each)
    ]
    taken = [next(iter(spec.items())) for spec in said["input_specs"]]
    inputs = []
    for kind, spec in taken:
        if kind == "user_input" and "as_tensor" in spec["arg"]:
            name = spec["arg"]["as_tensor"]["name"]
            inputs.append(_tensor(name, values[name], axes, faults))
        elif kind in ("user_input", "constant_input"):
            faults.append(f"an input is no tensor: {json.dumps(spec)}")
    given = [spec["user_output"]["arg"] for spec in said["output_specs"] if "user_output" in spec]
    outputs = []
    for name, arg in zip(_leaves(gives, ""), given, strict=True):
        if "as_tensor" in arg:
            outputs.append(_tensor(name, values[arg["as_tensor"]["name"]], axes, faults))
        else:
            faults.append(f"the output '{name}' is no tensor")
    faults += [f"it changes its own {next(iter(spec))}" for spec in said["output_specs"] if "user_output" not in spec]
    return Signature(tuple(inputs), tuple(outputs)), faults


def _tensor(name: str, value: Mapping[str, Any], axes: dict[str, str], faults: list[str]) -> TensorSignature:
    """``axes`` collects the symbols by the first place that has each."""
    if value["dtype"] not in _TYPES:
        faults.append(f"'{name}' is of a type that numpy lacks")
    shape = [_axis(size, f"{name}.{n}", axes) for n, size in enumerate(value["sizes"])]
    return TensorSignature(name, _TYPES.get(value["dtype"], ""), tuple(shape))


def _axis(size: Mapping[str, Any], place: str, axes: dict[str, str]) -> int | str:
    if "as_int" in size:
        return int(size["as_int"])
    text = _SYMBOL.sub(r"\1", size["as_expr"]["expr_str"])
    return axes.setdefault(text, place)


def _others(spec: Mapping[str, Any]) -> Iterator[str]:
    """Structures that torch does not know."""
    if spec["type"] not in _STRUCTURES:
        yield str(spec["type"])
    for child in spec["children_spec"]:
        yield from _others(child)


def _leaves(spec: Mapping[str, Any], name: str) -> Iterator[str]:
    """The names of what a program gives: a dictionary's keys, else numbers; ``output`` where it is one tensor."""
    if spec["type"] is None:
        yield name or "output"
        return
    children = spec["children_spec"]
    named = spec["type"] in ("builtins.dict", "collections.OrderedDict")
    keys = json.loads(spec["context"]) if named else range(len(children))
    for key, child in zip(keys, children, strict=True):
        yield from _leaves(child, f"{name}_{key}" if name else str(key) if isinstance(key, str) else f"output_{key}")
