"""Reads the signature of a torch.export archive (``.pt2``) from its JSON documents, without loading or running the program.

The format is that of ``torch.export.pt2_archive`` since torch 2.8. ``models/model.json`` follows ``torch._export.serde.schema``.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prebake.bake.errors import BakeError
from prebake.bake.importers.signature import Signature, TensorSignature
from prebake.bake.weights.dtypes import NAME_BY_PT2

_MODEL = "models/model.json"
_PAYLOADS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
# Structures that torch flattens itself; any other class needs its own library.
_STRUCTURES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
_SYMBOL = re.compile(r"Symbol\('(\w+)'[^)]*\)")
_SAVE_AGAIN = (
    "save it again with torch 2.8 or newer: torch.export.save(torch.export.export(module, example_inputs), PATH)"
)


def is_archive(path: Path) -> bool:
    """Whether ``path`` is an archive of torch.export."""
    return zipfile.is_zipfile(path) and any(_is_member(name, "archive_format") for name in _list_names(path))


def read_archive(component: str, path: Path) -> Signature:
    """Inputs and outputs of the program. A dynamic axis is named after its first occurrence, such as ``ids.0``.

    Raises BakeError that lists everything that is not supported: inputs that are not tensors, pickled weights.
    """
    try:
        model, payloads = _read_document(path, _MODEL), [_read_document(path, name) for name in _PAYLOADS]
        faults = [f"'{name}' is pickled" for payload in payloads for name in _pickled(payload)]
        signature, signature_faults = _read_signature(model)
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BakeError(
            f"{component}: {path.name} is not a complete archive of torch.export: {str(error) or type(error).__name__}.",
            next_action=_SAVE_AGAIN,
        ) from error
    if faults := faults + signature_faults:
        raise BakeError(
            f"{component}: {path.name} cannot be baked: {'; '.join(faults)}.",
            next_action="export a module whose inputs, outputs and weights are plain tensors of numpy's dtypes; several outputs "
            "may be in a tuple or a dictionary",
        )
    return signature


def _list_names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _is_member(name: str, member: str) -> bool:
    """All files of the archive lie in one folder, whose name is arbitrary."""
    return name.partition("/")[2] == member


def _read_document(path: Path, member: str) -> Mapping[str, Any]:
    with zipfile.ZipFile(path) as archive:
        name = next((name for name in archive.namelist() if _is_member(name, member)), None)
        if name is None:
            raise KeyError(f"it has no {member}")
        document = json.loads(archive.read(name))
    if not isinstance(document, dict):
        raise TypeError(f"{member} is not a JSON object")
    return document


def _pickled(payload: Mapping[str, Any]) -> Iterator[str]:
    """Weights of custom classes: torch unpickles these without restrictions."""
    yield from (name for name, weight in payload["config"].items() if weight["use_pickle"])


def _read_signature(model: Mapping[str, Any]) -> tuple[Signature, list[str]]:
    """The signature, and everything in it that is not supported."""
    module = model["graph_module"]
    specs, values = module["signature"], module["graph"]["tensor_values"]
    call = next(entry["signature"] for entry in module["module_call_graph"] if entry["fqn"] == "")
    in_spec, out_spec = (json.loads(call[name])[1] for name in ("in_spec", "out_spec"))
    faults = [f"it takes or returns a {kind}" for spec in (in_spec, out_spec) for kind in _unknown_structures(spec)]
    axes: dict[str, str] = {}
    inputs = []
    for kind, spec in [next(iter(spec.items())) for spec in specs["input_specs"]]:
        if kind == "user_input" and "as_tensor" in spec["arg"]:
            name = spec["arg"]["as_tensor"]["name"]
            inputs.append(_read_tensor(name, values[name], axes, faults))
        elif kind in ("user_input", "constant_input"):
            faults.append(f"an input is not a tensor: {json.dumps(spec)}")
    results = [spec["user_output"]["arg"] for spec in specs["output_specs"] if "user_output" in spec]
    outputs = []
    for name, result in zip(_leaf_names(out_spec, ""), results, strict=True):
        if "as_tensor" in result:
            outputs.append(_read_tensor(name, values[result["as_tensor"]["name"]], axes, faults))
        else:
            faults.append(f"the output '{name}' is not a tensor")
    faults += [f"it mutates its own {next(iter(spec))}" for spec in specs["output_specs"] if "user_output" not in spec]
    return Signature(tuple(inputs), tuple(outputs)), faults


def _read_tensor(name: str, value: Mapping[str, Any], axes: dict[str, str], faults: list[str]) -> TensorSignature:
    """Adds the names of dynamic axes to ``axes``, by their expression."""
    if value["dtype"] not in NAME_BY_PT2:
        faults.append(f"'{name}' has a dtype that numpy lacks")
    shape = [_read_axis(size, f"{name}.{index}", axes) for index, size in enumerate(value["sizes"])]
    return TensorSignature(name, NAME_BY_PT2.get(value["dtype"], ""), tuple(shape))


def _read_axis(size: Mapping[str, Any], default: str, axes: dict[str, str]) -> int | str:
    if "as_int" in size:
        return int(size["as_int"])
    expression = _SYMBOL.sub(r"\1", size["as_expr"]["expr_str"])
    return axes.setdefault(expression, default)


def _unknown_structures(spec: Mapping[str, Any]) -> Iterator[str]:
    """Classes of inputs or outputs that torch cannot flatten."""
    if spec["type"] not in _STRUCTURES:
        yield str(spec["type"])
    for child in spec["children_spec"]:
        yield from _unknown_structures(child)


def _leaf_names(spec: Mapping[str, Any], name: str) -> Iterator[str]:
    """Names of the outputs: keys of a dictionary, otherwise ``output_INDEX``; ``output`` for a single tensor."""
    if spec["type"] is None:
        yield name or "output"
        return
    children = spec["children_spec"]
    is_mapping = spec["type"] in ("builtins.dict", "collections.OrderedDict")
    keys = json.loads(spec["context"]) if is_mapping else range(len(children))
    for key, child in zip(keys, children, strict=True):
        yield from _leaf_names(
            child, f"{name}_{key}" if name else str(key) if isinstance(key, str) else f"output_{key}"
        )
