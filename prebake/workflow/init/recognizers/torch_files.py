"""A network published by torch.export (.pt2) or TorchScript. Its image needs no Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.errors import Problem
from prebake.workflow.init.recognizers.graph_image import SAMPLE_LIMIT, GraphFile, missing_package, write_graph_image
from prebake.workflow.init.recognizers.recognizer import ImageDraft, refuse

if TYPE_CHECKING:
    from prebake.bake.importers.signature import Signature

_SUFFIXES = (".pt2", ".pt", ".pth", ".ts", ".torchscript")


def recognize(path: Path) -> TorchFile | None:
    """A torch file, or the only one of a folder."""
    if path.is_file():
        return TorchFile(path, path.parent) if path.suffix in _SUFFIXES else None
    found = [file for file in sorted(path.iterdir()) if file.suffix in _SUFFIXES]
    if not found:  # --file named a file of a published checkpoint's folder
        found = [file for file in sorted(path.rglob("*")) if file.suffix in _SUFFIXES]
    return TorchFile(found[0], path) if len(found) == 1 else None


@dataclass(frozen=True)
class TorchFile:
    """A ``.pt2`` or TorchScript file below ``folder``."""

    path: Path
    folder: Path

    def check(self) -> None:
        """There are no documents to check."""

    def write(self, draft: ImageDraft) -> Mapping[str, bytes]:
        """Spec, README and, for TorchScript with small inputs, a sample. Raises InitRefused if ``--input`` lacks types that the
        file does not have."""
        try:
            from prebake.bake.importers.pt2_archive import is_archive, read_archive
        except ImportError as error:
            raise missing_package(error, "a torch file") from error
        if is_archive(self.path):
            draft.refuse_inputs("a .pt2 file has its inputs' types")
            graph = self._graph(draft, read_archive(draft.request.name, self.path))  # it brings an example
        else:
            signature = self._declared(draft)
            graph = self._graph(draft, signature, _sample(signature), draft.request.inputs)
        title = self.path.stem if self.path.stem != "model" else draft.request.name
        return write_graph_image(draft, self.folder, title, [graph])

    def _graph(
        self,
        draft: ImageDraft,
        signature: Signature,
        sample: Mapping[str, Any] | None = None,
        declared: Mapping[str, str] | None = None,
    ) -> GraphFile:
        name = self.path.relative_to(self.folder).as_posix()
        return GraphFile(draft.request.name, "torch", name, (name,), signature, sample, declared or {})

    def _declared(self, draft: ImageDraft) -> Signature:
        """The signature from ``--input``: TorchScript has its inputs' names, but neither types nor shapes."""
        try:
            from prebake.bake.importers.signature import Signature, parse_tensor
            from prebake.bake.importers.torchscript import open_script
        except ImportError as error:
            raise missing_package(error, "TorchScript") from error
        names, _ = open_script(draft.request.name, self.path)
        problems = [Problem(name, "type and shape are not known") for name in names if name not in draft.request.inputs]
        problems += [
            Problem(name, f"is not an input of {self.path.name}") for name in draft.request.inputs if name not in names
        ]
        example = " ".join(f"--input '{name}=float32[batch, 3, 224, 224]'" for name in names)
        refuse(
            f"{self.path} is TorchScript, which has the names of its inputs but no types:",
            problems,
            f"give each input's type, with a length or a name for each axis, as in {example}",
        )
        return Signature(tuple(parse_tensor(name, draft.request.inputs[name]) for name in names), ())


def _sample(signature: Signature) -> Mapping[str, Any] | None:
    from prebake.bake.published.generated_inputs import generate_uniform_inputs

    inputs = generate_uniform_inputs(signature, size=2, seed=1)
    small = sum(array.size for array in inputs.values()) <= SAMPLE_LIMIT
    return {name: array.tolist() for name, array in inputs.items()} if small else None
