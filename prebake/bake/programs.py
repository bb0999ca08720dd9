"""Networks published as torch files: programs of torch.export (``.pt2``), and TorchScript.

Both are opened in the export stage only, which has no network: torch runs what they hold.
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

from prebake.bake.archives import is_archive, read_archive
from prebake.bake.arrays import Array
from prebake.bake.errors import BakeError
from prebake.bake.graphs import translate
from prebake.bake.scripts import convert_script, open_script
from prebake.bake.signature import Signature, TensorSignature, read_tensor


@dataclass(frozen=True)
class Program:
    """``inputs`` by their order; ``example``, by name, is what the program was exported with, where it tells that.
    ``outputs`` are their names, None where only a run tells them."""

    component: str
    inputs: tuple[TensorSignature, ...]
    example: Mapping[str, Array]
    outputs: tuple[str, ...] | None
    call: Callable[[Sequence[torch.Tensor]], object]
    convert: Callable[[Sequence[torch.Tensor]], ExportedProgram]

    def answer(self, case: Mapping[str, Array]) -> dict[str, Array]:
        """What torch computes. Raises BakeError where it cannot, or gives no tensors."""
        try:
            with torch.no_grad():
                answer = self.call(self._tensors(case))
        except Exception as error:  # a program raises what it pleases
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in case.items())
            raise BakeError(
                f"{self.component}: the published program does not run on {shapes}: {str(error).strip()[:1500]}",
                next_action="Give inputs that it takes in the image's sample.json.",
            ) from error
        leaves = pytree.tree_leaves_with_path(answer)
        names = self.outputs or [_name(path) for path, _ in leaves]
        return {name: _array(self.component, name, leaf) for name, (_, leaf) in zip(names, leaves, strict=True)}

    def runs(self, case: Mapping[str, Array]) -> bool:
        """Whether torch takes these inputs: a program may be for some sizes only."""
        try:
            self.answer(case)
        except BakeError:
            return False
        return True

    def graph(self, case: Mapping[str, Array], outputs: Sequence[str]) -> ir.Model:
        """The program as an ONNX graph; ``case`` is what a TorchScript file is converted with. Raises BakeError."""
        with _quiet():
            program = self.convert(self._tensors(case))
        return translate(self.component, program, [each.name for each in self.inputs], outputs)

    def _tensors(self, case: Mapping[str, Array]) -> list[torch.Tensor]:
        return [torch.from_numpy(case[each.name].copy()) for each in self.inputs]


def open_program(component: str, path: Path, inputs: Mapping[str, str]) -> Program:
    """``inputs`` are what image.yaml says of a TorchScript file's. Raises BakeError where the file cannot be used."""
    if is_archive(path):
        return _exported(component, path)
    names, call = open_script(component, path)
    if sorted(inputs) != sorted(names):
        raise BakeError(
            f"{component}: {path.name} takes {', '.join(names)}, image.yaml says {', '.join(inputs) or 'nothing'}.",
            next_action=f"Say type and shape of each in components.{component}.inputs.",
        )
    tensors = tuple(read_tensor(name, inputs[name]) for name in names)
    return Program(
        component, tensors, {}, None, lambda given: call(*given), lambda given: convert_script(component, call, given)
    )


def _exported(component: str, path: Path) -> Program:
    signature: Signature = read_archive(component, path)
    try:
        with _quiet():
            program = torch.export.load(path)
    except Exception as error:  # torch has no error of its own for this
        raise BakeError(
            f"{component}: torch does not load {path.name}: {type(error).__name__}: {str(error).strip()[:1500]}",
            next_action="Save it again by torch.export.save, of a module that needs nothing but torch.",
        ) from error
    module, structure = program.module(), program.call_spec.in_spec

    def call(given: Sequence[torch.Tensor]) -> object:
        positional, named = pytree.tree_unflatten(list(given), structure)
        return module(*positional, **named)

    return Program(
        component,
        signature.inputs,
        _example(signature, program.example_inputs),
        tuple(each.name for each in signature.outputs),
        call,
        lambda _: program,
    )


def _example(signature: Signature, example: object) -> dict[str, Array]:
    leaves = pytree.tree_leaves(example) if example else []
    if len(leaves) != len(signature.inputs):
        return {}
    return {each.name: leaf.numpy() for each, leaf in zip(signature.inputs, leaves, strict=True)}


def _name(path: Sequence[Any]) -> str:
    """As ``prebake.bake.archives`` names outputs."""
    keys = [getattr(each, "key", getattr(each, "idx", getattr(each, "name", None))) for each in path]
    words = [str(key) for key in keys]
    return "output" if not keys else "_".join(words if isinstance(keys[0], str) else ["output", *words])


def _array(component: str, name: str, leaf: object) -> Array:
    if not isinstance(leaf, torch.Tensor) or leaf.dtype is torch.bfloat16 or leaf.is_complex():
        kind = leaf.dtype if isinstance(leaf, torch.Tensor) else type(leaf).__name__
        raise BakeError(f"{component}: '{name}' is {kind}.", next_action="Publish a program that gives plain tensors.")
    if leaf.is_floating_point() and not bool(leaf.isfinite().all()):
        raise BakeError(
            f"{component}: '{name}' is not finite for made-up inputs.",
            next_action="Give inputs whose answer is finite in the image's sample.json.",
        )
    array: Array = leaf.detach().numpy()
    return array


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's advice to those who wrote the program."""
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
