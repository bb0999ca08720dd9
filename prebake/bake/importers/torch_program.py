"""Networks published as torch programs: archives of torch.export (``.pt2``) and TorchScript.

They are opened only in the export stage, which has no network, since torch runs the code that they contain.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from prebake.bake.errors import BakeError
from prebake.bake.importers.pt2_archive import is_archive, read_archive
from prebake.bake.importers.signature import Signature, TensorSignature, parse_tensor
from prebake.bake.importers.torch_module import to_onnx
from prebake.bake.importers.torchscript import convert_script, open_script
from prebake.bake.weights.numpy_arrays import Array


@dataclass(frozen=True)
class TorchProgram:
    """A published torch program."""

    component: str
    inputs: tuple[TensorSignature, ...]
    """Inputs in order."""
    example: Mapping[str, Array]
    """The inputs that it was exported with, by name; empty if the file does not contain them."""
    outputs: tuple[str, ...] | None
    """Names of the outputs; None if only a run determines them."""
    call: Callable[[Sequence[torch.Tensor]], object]
    convert: Callable[[Sequence[torch.Tensor]], ExportedProgram]

    def run(self, case: Mapping[str, Array]) -> dict[str, Array]:
        """torch's outputs by name. Raises BakeError if the program does not run, or does not return plain tensors."""
        try:
            with torch.no_grad():
                result = self.call(self._tensors(case))
        except Exception as error:  # a program raises any exception
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in case.items())
            raise BakeError(
                f"{self.component}: the published program does not run on {shapes}: {str(error).strip()[:1500]}",
                next_action="give inputs that it accepts in the image's sample.json",
            ) from error
        leaves = pytree.tree_leaves_with_path(result)
        names = self.outputs or [_output_name(path) for path, _ in leaves]
        return {name: _to_array(self.component, name, leaf) for name, (_, leaf) in zip(names, leaves, strict=True)}

    def accepts(self, case: Mapping[str, Array]) -> bool:
        """Whether the program runs on these inputs: it may support certain sizes only."""
        try:
            self.run(case)
        except BakeError:
            return False
        return True

    def to_onnx(self, case: Mapping[str, Array], outputs: Sequence[str]) -> ir.Model:
        """The program as an ONNX graph. A TorchScript file is converted with ``case``. Raises BakeError if torch cannot."""
        with _quiet():
            program = self.convert(self._tensors(case))
        return to_onnx(self.component, program, [tensor.name for tensor in self.inputs], outputs)

    def _tensors(self, case: Mapping[str, Array]) -> list[torch.Tensor]:
        return [torch.from_numpy(case[tensor.name].copy()) for tensor in self.inputs]


def open_program(component: str, path: Path, inputs: Mapping[str, str]) -> TorchProgram:
    """Open a program. ``inputs``: dtype and shape of each input of a TorchScript file, from image.yaml.

    Raises BakeError if the file cannot be used.
    """
    if is_archive(path):
        return _open_archive(component, path)
    names, call = open_script(component, path)
    if sorted(inputs) != sorted(names):
        raise BakeError(
            f"{component}: {path.name} has the inputs {', '.join(names)}, but image.yaml gives {', '.join(inputs) or 'none'}.",
            next_action=f"give dtype and shape of each input in components.{component}.inputs",
        )
    return TorchProgram(
        component=component,
        inputs=tuple(parse_tensor(name, inputs[name]) for name in names),
        example={},
        outputs=None,
        call=lambda tensors: call(*tensors),
        convert=lambda tensors: convert_script(component, call, tensors),
    )


def _open_archive(component: str, path: Path) -> TorchProgram:
    signature: Signature = read_archive(component, path)
    try:
        with _quiet():
            program = torch.export.load(path)
    except Exception as error:  # torch has no specific exception for this
        raise BakeError(
            f"{component}: torch cannot load {path.name}: {type(error).__name__}: {str(error).strip()[:1500]}",
            next_action="save it again with torch.export.save, from a module that needs no library but torch",
        ) from error
    module, structure = program.module(), program.call_spec.in_spec

    def call(tensors: Sequence[torch.Tensor]) -> object:
        positional, named = pytree.tree_unflatten(list(tensors), structure)
        return module(*positional, **named)

    return TorchProgram(
        component=component,
        inputs=signature.inputs,
        example=_read_example(signature, program.example_inputs),
        outputs=tuple(tensor.name for tensor in signature.outputs),
        call=call,
        convert=lambda _: program,
    )


def _read_example(signature: Signature, example: object) -> dict[str, Array]:
    leaves = pytree.tree_leaves(example) if example else []
    if len(leaves) != len(signature.inputs):
        return {}
    return {tensor.name: leaf.numpy() for tensor, leaf in zip(signature.inputs, leaves, strict=True)}


def _output_name(path: Sequence[Any]) -> str:
    """The output names of ``prebake.bake.importers.pt2_archive``."""
    keys = [getattr(key, "key", getattr(key, "idx", getattr(key, "name", None))) for key in path]
    words = [str(key) for key in keys]
    return "output" if not keys else "_".join(words if isinstance(keys[0], str) else ["output", *words])


def _to_array(component: str, name: str, leaf: object) -> Array:
    if not isinstance(leaf, torch.Tensor) or leaf.dtype is torch.bfloat16 or leaf.is_complex():
        kind = leaf.dtype if isinstance(leaf, torch.Tensor) else type(leaf).__name__
        raise BakeError(
            f"{component}: the output '{name}' is {kind}, which numpy cannot hold.",
            next_action="publish a program whose outputs are tensors of numpy's dtypes",
        )
    if leaf.is_floating_point() and not bool(leaf.isfinite().all()):
        raise BakeError(
            f"{component}: the output '{name}' is not finite for generated inputs.",
            next_action="give inputs with finite outputs in the image's sample.json",
        )
    array: Array = leaf.detach().numpy()
    return array


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses torch's warnings for authors of programs."""
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
