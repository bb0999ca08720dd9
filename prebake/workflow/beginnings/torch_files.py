"""A network that is published as a torch file: an archive of torch.export, or TorchScript. Its image needs no Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.errors import Problem
from prebake.workflow.beginnings.beginning import Asked, refuse
from prebake.workflow.beginnings.graphs import SAMPLE_LIMIT, Part, needs, write_graphs

if TYPE_CHECKING:
    from prebake.bake.signature import Signature

_SUFFIXES = (".pt2", ".pt", ".pth", ".ts", ".torchscript")


def recognise(path: Path) -> TorchFile | None:
    """A torch file, or the one of a folder that holds nothing else to begin with."""
    if path.is_file():
        return TorchFile(path, path.parent) if path.suffix in _SUFFIXES else None
    found = [each for each in sorted(path.iterdir()) if each.suffix in _SUFFIXES]
    if not found:  # a folder of a published checkpoint, of which --file named the one
        found = [each for each in sorted(path.rglob("*")) if each.suffix in _SUFFIXES]
    return TorchFile(found[0], path) if len(found) == 1 else None


@dataclass(frozen=True)
class TorchFile:
    """A ``.pt2`` or TorchScript file below ``folder``."""

    path: Path
    folder: Path

    def check(self) -> None:
        """It has no documents."""

    def write(self, asked: Asked) -> Mapping[str, bytes]:
        """Spec, README and, of TorchScript, a sample input where it is small enough to be read. Raises InitRefused where
        inputs are not said that the file does not tell."""
        try:
            from prebake.bake.archives import is_archive, read_archive
        except ImportError as error:
            raise needs(error, "a torch file") from error
        if is_archive(self.path):
            asked.refuse_inputs("an archive of torch.export tells them itself")
            part = self._part(asked, read_archive(asked.name, self.path))  # it brings an example
        else:
            signature = self._declared(asked)
            part = self._part(asked, signature, _sample(signature), asked.inputs)
        title = self.path.stem if self.path.stem != "model" else asked.name
        return write_graphs(asked, self.folder, title, [part])

    def _part(
        self,
        asked: Asked,
        signature: Signature,
        sample: Mapping[str, Any] | None = None,
        declared: Mapping[str, str] | None = None,
    ) -> Part:
        name = self.path.relative_to(self.folder).as_posix()
        return Part(asked.name, "torch", name, (name,), signature, sample, declared or {})

    def _declared(self, asked: Asked) -> Signature:
        """TorchScript names its inputs and tells neither their types nor their shapes."""
        try:
            from prebake.bake.scripts import open_script
            from prebake.bake.signature import Signature, read_tensor
        except ImportError as error:
            raise needs(error, "TorchScript") from error
        names, _ = open_script(asked.name, self.path)
        problems = [Problem(name, "type and shape are not known") for name in names if name not in asked.inputs]
        problems += [Problem(name, f"is no input of {self.path.name}") for name in asked.inputs if name not in names]
        example = " ".join(f"--input '{name}=float32[batch, 3, 224, 224]'" for name in names)
        refuse(
            f"{self.path} is TorchScript, which names its inputs and tells no more:",
            problems,
            f"say of each its type, and lengths or names of free axes, as in {example}",
        )
        return Signature(tuple(read_tensor(name, asked.inputs[name]) for name in names), ())


def _sample(signature: Signature) -> Mapping[str, Any] | None:
    from prebake.bake.made_up import make_inputs

    inputs = make_inputs(signature, size=2, seed=1)
    small = sum(array.size for array in inputs.values()) <= SAMPLE_LIMIT
    return {name: array.tolist() for name, array in inputs.items()} if small else None
