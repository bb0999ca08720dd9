"""TorchScript files: their inputs, and their conversion to a program of torch.export."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from prebake.bake.errors import BakeError

_USE_EXPORT = (
    "save it with torch.export.save(torch.export.export(module, example_inputs), PATH); "
    "`torch` in image.yaml accepts such a file, too"
)


def open_script(component: str, path: Path) -> tuple[list[str], Any]:
    """The names of ``forward``'s parameters, and the module in eval mode.

    Raises BakeError for a pickle that ``torch.save`` wrote, and for parameters that are not tensors.
    """
    if not _is_script(path):
        raise BakeError(
            f"{component}: {path.name} is neither TorchScript nor an archive of torch.export. "
            "A file of torch.save is a pickle, which may run code and contains no graph.",
            next_action=f"{_USE_EXPORT}; or write an export.py that loads the tensors with bake.open_pickle "
            "(docs/adding-a-model.md)",
        )
    try:
        module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        parameters = module.forward.schema.arguments[1:]
    except (RuntimeError, AttributeError) as error:
        raise BakeError(
            f"{component}: torch cannot load {path.name}: {str(error).strip()[:1500]}",
            next_action="check that the file is complete, and that it needs no custom operators",
        ) from error
    others = [f"{parameter.name} is {parameter.type}" for parameter in parameters if str(parameter.type) != "Tensor"]
    if others:
        raise BakeError(
            f"{component}: {path.name} has inputs that are not tensors: {', '.join(others)}.",
            next_action=f"{_USE_EXPORT}",
        )
    return [parameter.name for parameter in parameters], module


def convert_script(component: str, module: Any, inputs: Sequence[torch.Tensor]) -> ExportedProgram:
    """Convert a ScriptModule, which torch.onnx cannot export itself.

    Raises BakeError if torch cannot convert it, such as for data-dependent control flow or an unknown operator.
    """
    from torch._export.converter import TS2EPConverter  # private in torch: imported only if it is needed

    try:
        return TS2EPConverter(module, tuple(inputs)).convert()
    except Exception as error:  # the converter raises any exception
        raise BakeError(
            f"{component}: torch cannot convert this TorchScript: {type(error).__name__}: {str(error).strip()[:1500]}",
            next_action=f"{_USE_EXPORT}, from the network's own code",
        ) from error


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2] for name in archive.namelist()}
    return "constants.pkl" in members and any(name.startswith("code/") for name in members)
