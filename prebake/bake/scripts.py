"""TorchScript files: which they are, what they take, and their conversion to a program of torch.export."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from prebake.bake.errors import BakeError

_TRACE = "Save it by torch.export.save(torch.export.export(module, example_inputs), PATH), which `torch` takes too"


def open_script(component: str, path: Path) -> tuple[list[str], Any]:
    """The names of forward's arguments, and the module in eval mode. Raises BakeError for a pickle, which torch.save wrote,
    and for arguments that are no tensors."""
    if not _is_script(path):
        raise BakeError(
            f"{component}: {path.name} is neither TorchScript nor an archive of torch.export; "
            "what torch.save writes is a pickle, which may run code and tells no graph.",
            next_action=f"{_TRACE}; or write an export.py, which reads tensors by bake.open_pickle (docs/adding-a-model.md).",
        )
    try:
        module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        arguments = module.forward.schema.arguments[1:]
    except (RuntimeError, AttributeError) as error:
        raise BakeError(
            f"{component}: torch does not load {path.name}: {str(error).strip()[:1500]}",
            next_action="Check that the file is whole, and needs no operators but torch's own.",
        ) from error
    if others := [f"{each.name} is {each.type}" for each in arguments if str(each.type) != "Tensor"]:
        raise BakeError(
            f"{component}: {path.name} takes more than tensors: {', '.join(others)}.", next_action=f"{_TRACE}."
        )
    return [each.name for each in arguments], module


def convert_script(component: str, module: Any, inputs: Sequence[torch.Tensor]) -> ExportedProgram:
    """torch.onnx exports no ScriptModule itself. Raises BakeError where torch cannot convert it either: a branch or a loop
    that depends on values, an operator that its converter does not know."""
    from torch._export.converter import TS2EPConverter  # torch's own, and not public: only who needs it depends on it

    try:
        return TS2EPConverter(module, tuple(inputs)).convert()
    except Exception as error:  # the converter raises what it pleases
        raise BakeError(
            f"{component}: torch cannot convert this TorchScript: {type(error).__name__}: {str(error).strip()[:1500]}",
            next_action=f"{_TRACE}, from the network's own code.",
        ) from error


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        inside = {name.partition("/")[2] for name in archive.namelist()}
    return "constants.pkl" in inside and any(name.startswith("code/") for name in inside)
