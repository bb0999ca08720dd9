"""``Bake``, the object that an image's ``export.py`` receives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from prebake.bake.authoring import pickles
from prebake.bake.authoring.graph_writer import GraphWriter, ModuleExport
from prebake.bake.authoring.image_files import ImageFiles, WarmupFile
from prebake.bake.errors import BakeError
from prebake.bake.importers import torch_module
from prebake.bake.importers.torch_program import TorchProgram
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.model_folder.export_weights import ExportedWeights
from prebake.bake.parity.compare import Tolerance
from prebake.bake.published.graph_file import PublishedGraph
from prebake.bake.weights.numpy_arrays import Array
from prebake.bake.weights.shards import MAX_SHARD_BYTES, load_tensors
from prebake.documents.settings import StageSettings


class Bake:
    """Defines the content of an image. Each method raises BakeError at once if its argument cannot be baked."""

    File = WarmupFile

    def __init__(self, settings: StageSettings, checkpoint: Path, out: Path, shard: int = MAX_SHARD_BYTES) -> None:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise BakeError(f"The output folder {out} is not empty.", next_action="export into an empty folder")
        self.settings = settings
        self.checkpoint = checkpoint
        self._exported = Exported(out)
        self._weights = ExportedWeights(settings, checkpoint, self._exported, shard)
        self._graphs = GraphWriter(settings, checkpoint, self._exported, self._weights)
        self._files = ImageFiles(settings, checkpoint, self._exported, self._weights)
        for file in settings.reshard:
            folder, _, name = file.path.partition("/")
            self._weights.derive(folder, name, load_tensors(checkpoint / file.path))

    def open_pickle(self, path: str) -> dict[str, Any]:
        """The dictionary in a ``.pth`` or ``.bin`` file of the checkpoint, read without running its code.

        Raises UnsafePickle if the file refers to code, WeightsError if it is damaged or holds no dictionary.
        """
        return pickles.open_pickle(self.checkpoint / path)

    def convert(self, component: str, tensors: Mapping[str, torch.Tensor]) -> tuple[Path, ...]:
        """Write ``tensors`` to ``model.safetensors`` in the component's folder of the image. Graphs refer to this file.

        Returns the path of the file. Above 4 GiB, returns the paths of its shards, then of their index.
        """
        self._graphs.check_component(component)
        return self._weights.convert(self.settings.folder(component), tensors)

    def graph(
        self,
        component: str,
        module: torch.nn.Module,
        cases: Sequence[torch_module.Inputs],
        outputs: Sequence[str],
        dynamic: Mapping[str, Mapping[int, torch_module.Axis]] | None = None,
        tolerance: Tolerance | None = None,
        calibration: Sequence[torch_module.Inputs] = (),
        keep_in_fp32: Collection[str] = (),
    ) -> None:
        """Export ``module``, in eval mode, as the component's ONNX graph.

        cases: at least two mappings of ``forward``'s argument names to tensors, of different shapes if any axis is dynamic.
            The first is traced. torch's outputs of each case are saved; the compile stage compares the graph with them.
        outputs: a name for each output of the module, in order.
        dynamic: for each input, its dynamic axes: an axis name, or a ``torch.export.Dim`` to set bounds. In the first case
            these axes must have length 2 or more, since torch treats 0 and 1 as constants. If requests may have length 1,
            include it in another case.
        tolerance: the largest absolute difference allowed for any element in fp32: one number, or one for each output name.
            By default it follows from the output's magnitude and from torch's rounding error against float64
            (``prebake.bake.parity.tolerances``), so that it holds on any processor. A ``max_relative_error`` in image.yaml, or a
            precision other than fp32, replaces it.
        calibration: inputs of real requests for static int8. A calibration file named in image.yaml replaces them.
        keep_in_fp32: inputs, parameters and buffers that stay in fp32 if the graph computes in half precision, such as
            timesteps and positions. The module must cast the values it computes from them.
        """
        export = ModuleExport(
            module=module,
            cases=cases,
            outputs=outputs,
            dynamic=dynamic or {},
            tolerance=tolerance,
            calibration=calibration,
            keep_in_fp32=keep_in_fp32,
        )
        self._graphs.write_module(component, export)

    def graph_file(
        self,
        component: str,
        path: str,
        cases: Sequence[Mapping[str, Array]],
        published: PublishedGraph | None = None,
    ) -> Sequence[Mapping[str, Array]]:
        """Use a published ONNX file of the checkpoint as the component's graph. Its weights are saved as safetensors.

        cases: inputs by name. The published graph's outputs of them are returned, and saved for the parity check. Each
            output's tolerance follows from its magnitude.
        published: the inspected file, if the caller has it. Its signature defines the names of inputs and axes.
        """
        return self._graphs.write_published(component, path, cases, published)

    def program(
        self, component: str, program: TorchProgram, cases: Sequence[Mapping[str, Array]]
    ) -> Sequence[Mapping[str, Array]]:
        """Use a published torch program as the component's graph. Its weights are saved as safetensors.

        cases: inputs by name. A TorchScript file is converted with the first. torch's outputs of them are returned, and
            saved for the parity check.
        """
        return self._graphs.write_program(component, program, cases)

    def asset(self, path: str, data: bytes) -> None:
        """Add a small file to the image, at ``/models/<path>``."""
        self._files.add_asset(path, data)

    def path(self, name: str) -> Path:
        """Where a file of the image lies during the export. ``name`` is the one that ``Components.path`` takes: an asset's
        path, or the path of a shipped file of the checkpoint."""
        return self._files.find(name)

    def reference(
        self,
        fields: Mapping[str, str | int | float | WarmupFile],
        answer: bytes,
        media_type: str,
        tolerance: float | None = None,
    ) -> None:
        """Set the warm-up request and the framework's answer to it.

        tolerance: the largest absolute difference between samples of a WAV file, or between corresponding numbers of a JSON
            document. With any other media type the bytes must be equal. The default is the graphs' own relative tolerance
            times the answer's largest number: call this after ``graph``.
        """
        self._files.write_warmup(fields, answer, media_type, tolerance)

    @property
    def tolerances(self) -> dict[str, float]:
        """The largest tolerance among the outputs of each exported component."""
        given = {name: exported.tolerance for name, exported in self._exported.components.items()}
        return {name: max(value.values()) if isinstance(value, Mapping) else value for name, value in given.items()}

    def finish(self) -> None:
        """Save the export. Raises BakeError if a component has no graph, or if there is no warm-up request."""
        needed = self.settings.components.keys() if self.settings.runtime == "onnxruntime" else set[str]()
        missing = [f"a graph of '{name}'" for name in sorted(needed - self._exported.components.keys())]
        missing += [] if self._exported.warmup else ["a warm-up request"]
        if missing:
            raise BakeError(
                f"The export is incomplete: it lacks {', '.join(missing)}.",
                next_action="call bake.graph for each component and bake.reference once in export.py",
            )
        self._weights.drop_unread()
        self._exported.assets.sort()
        self._exported.save()
