"""The export stage: ``images/<name>/export.py`` is called with a ``Bake`` and says what the image holds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import onnx_ir as ir
import torch

from prebake.bake import graph_files, graphs, pickles, published_graph
from prebake.bake.allowances import Allowance, allow, settle
from prebake.bake.answer_allowance import allow_answer
from prebake.bake.arrays import Array, from_arrays
from prebake.bake.cases import check_cases, check_kept, reference_of, to_array
from prebake.bake.component import HALVES
from prebake.bake.documents import canonical_json
from prebake.bake.errors import BakeError
from prebake.bake.exported import Exported, ExportedComponent
from prebake.bake.exported_weights import ExportedWeights
from prebake.bake.in_float64 import answer_in_float64
from prebake.bake.lowered import Lowered
from prebake.bake.parity import Case, Tolerance
from prebake.bake.programs import Program
from prebake.bake.provider_options import CPU
from prebake.bake.published_file import Published, examine
from prebake.bake.published_graph import Folding
from prebake.bake.quantisation_steps import answer_moved
from prebake.bake.quantise import Sample
from prebake.bake.reduced import reduced
from prebake.bake.repeats import check_repeats
from prebake.bake.repoint import WeightFiles, hold_small, large_initialisers, repoint
from prebake.bake.sampling import answer_of
from prebake.bake.saturation import unshare
from prebake.bake.settings import Settings
from prebake.bake.shards import SHARD, tensors_of

_SUFFIXES = {
    "application/json": "json", "audio/wav": "wav", "image/jpeg": "jpg", "image/png": "png", "text/plain": "txt",
    "video/mp4": "mp4",
}  # fmt: skip


@dataclass(frozen=True)
class WarmupFile:
    """A file of the warm-up request."""

    name: str
    data: bytes


class Bake:
    """What ``export(bake)`` may do. Everything raises BakeError, at once, for what could not be baked."""

    File = WarmupFile

    def __init__(self, settings: Settings, checkpoint: Path, out: Path, shard: int = SHARD) -> None:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise BakeError(f"{out} is not empty.", next_action="Export into an empty folder.")
        self.settings = settings
        self.checkpoint = checkpoint
        self._exported = Exported(out)
        self._weights = ExportedWeights(settings, checkpoint, self._exported, shard)
        for each in settings.reshard:
            folder, _, name = each.path.partition("/")
            self._weights.derive(folder, name, tensors_of(checkpoint / each.path))

    def open_pickle(self, path: str) -> dict[str, Any]:
        """The dictionary in a ``.pth`` or ``.bin`` of the checkpoint; see ``prebake.bake.pickles.open_pickle``."""
        return pickles.open_pickle(self.checkpoint / path)

    def convert(self, component: str, tensors: Mapping[str, torch.Tensor]) -> tuple[Path, ...]:
        """Write the derived ``model.safetensors`` of the component's folder, to be loaded and pointed into, and give its
        path; above 4 GiB those of its parts, and of their index."""
        self._check_component(component)
        return self._weights.convert(self.settings.folder(component), tensors)

    def graph(
        self,
        component: str,
        module: torch.nn.Module,
        cases: Sequence[graphs.Inputs],
        outputs: Sequence[str],
        dynamic: Mapping[str, Mapping[int, graphs.Axis]] | None = None,
        tolerance: Tolerance | None = None,
        calibration: Sequence[graphs.Inputs] = (),
        keep_in_fp32: Collection[str] = (),
    ) -> None:
        """Export ``module``, in eval mode, as the component's graph.

        cases: two or more, by the forward's argument names, of different shapes where any axis is dynamic; the first
            is traced, and the framework's outputs of each are kept for the compile stage to compare with.
        dynamic: axes by input: a name, or a ``torch.export.Dim`` where it has bounds. In the first case they must be
            2 or longer, since torch takes 0 and 1 for constants; let another case have 1 where that may be asked for.
        tolerance: the largest absolute difference allowed for any element of any output, in fp32; or by an output's name. By
            default, and for outputs that are not named, it follows from the size of the output's numbers and from torch's
            own distance from float64 (``prebake.bake.allowances``), so that it holds on any processor. A bound that
            image.yaml gives, or another precision there, takes its place.
        calibration: inputs of real requests, for static int8; a set that image.yaml names takes their place.
        keep_in_fp32: inputs, parameters and buffers that stay so where image.yaml asks for half precision and the graph
            computes in it: what fp16 is too coarse for, such as times and positions. The module casts what it makes of them.
        """
        self._check_component(component)
        if component in self._exported.components:
            raise BakeError(f"{component}: it has a graph already.", next_action="Correct its export.py.")
        check_cases(component, module, cases, dynamic or {})
        check_kept(component, module, cases[0], keep_in_fp32)
        answers = [reference_of(component, module, case, outputs) for case in cases]
        for number, answer in enumerate(answers):
            self._exported.write_case(component, number, answer)
        allowances = self._allow(component, module, cases, [each.outputs for each in answers])
        precision = self.settings.components[component].precision
        if precision.type in HALVES and not self.settings.keeps_half(component):
            module = Lowered(module, precision.type, keep_in_fp32)
        model = graphs.export_graph(component, module, cases[0], outputs, dynamic or {})
        samples = [{name: to_array(component, name, each) for name, each in case.items()} for case in calibration]
        ranges = graphs.find_ranges(dynamic or {})
        allowed, derived = settle(component, allowances, tolerance)
        about = ExportedComponent(allowed, len(cases), ranges=ranges, allowances=derived)
        self._keep_graph(component, model, about, samples)

    def _allow(
        self,
        component: str,
        module: torch.nn.Module,
        cases: Sequence[graphs.Inputs],
        answers: Sequence[Mapping[str, Array]],
    ) -> dict[str, Allowance]:
        """A bound of image.yaml takes the place of all of it: then nothing is computed in float64."""
        if self.settings.components[component].precision.bounded:
            return allow(answers)
        return allow(answers, [answer_in_float64(module, case, list(answers[0])) for case in cases])

    def _keep_graph(
        self, component: str, model: ir.Model, about: ExportedComponent, samples: Sequence[Sample] = ()
    ) -> None:
        with reduced(self.settings, component, model, samples, self._exported.folder) as (model, reduction):
            unshare(model)
            if reduction and self.settings.components[component].precision.makes_weights:
                stem = f"{component}.{reduction.type}.safetensors"
                weights = self._weights.derive(
                    self.settings.folder(component), stem, from_arrays(large_initialisers(model))
                )
            else:
                weights = tuple(self._weights.of(component))
            constants = self._exported.constants(component, self.settings.constants(component))
            files = [path for path in weights if path.suffix == ".safetensors"]
            report = repoint(model, WeightFiles(files), constants)
            graph_files.save(model, self._exported.graph(component), component)
        about = replace(about, report=report.to_dict(), reduced=reduction.to_dict() if reduction else {})
        self._exported.components[component] = about
        print(f"{component}: exported, {report}{f', {reduction}' if reduction else ''}", file=sys.stderr)

    def graph_file(
        self,
        component: str,
        path: str,
        cases: Sequence[Mapping[str, Array]],
        published: Published | None = None,
    ) -> Sequence[Mapping[str, Array]]:
        """Take a published ONNX file of the checkpoint for the component's graph; its weights become derived ones.

        cases: inputs by name, the published graph's outputs of which are kept for the compile stage to compare with, and
            returned. The tolerance of each output follows from its size.
        published: the same file, if it was looked into already: its signature says how inputs and axes are called.
        """
        self._check_component(component)
        published = published or examine(component, self.checkpoint / path).asking(cases[0])
        outputs = [answer_of(published, case) for case in cases]
        for note in check_repeats(published, cases, outputs):
            print(f"{component}: {note}", file=sys.stderr)
        for number, (case, answer) in enumerate(zip(cases, outputs, strict=True)):
            self._exported.write_case(component, number, Case(case, answer))
        with graph_files.copied(self.checkpoint / path) as copy:
            model = graph_files.load(copy)
            hold_small(model)
            allowances = allow(outputs, moved=answer_moved(copy, cases))
            lifted = published_graph.prepare(model, published.signature, published.locale)
            with self._folded(component, model, lifted) as (model, folding):
                print(f"{component}: {folding}", file=sys.stderr)
                self._keep_whole(component, model, allowances, len(cases), folding.to_dict())
        return outputs

    @contextmanager
    def _folded(self, component: str, model: ir.Model, lifted: int) -> Iterator[tuple[ir.Model, Folding]]:
        """Weights as the image will read them, unless a graph of another target or precision reads them as published."""
        own = self.settings.components[component]
        if own.precision.reduced or own.providers[0] != CPU or self.settings.keep_published:
            yield model, Folding(sum(each.nbytes for each in large_initialisers(model).values()), lifted)
            return
        with published_graph.folded(component, model, lifted) as found:
            yield found

    def program(
        self, component: str, program: Program, cases: Sequence[Mapping[str, Array]]
    ) -> Sequence[Mapping[str, Array]]:
        """Take a published torch program for the component's graph; its weights become derived ones.

        cases: inputs by name, the first of which a TorchScript file is converted with; torch's outputs are kept and returned.
        """
        self._check_component(component)
        outputs = [program.answer(case) for case in cases]
        for number, (case, answer) in enumerate(zip(cases, outputs, strict=True)):
            self._exported.write_case(component, number, Case(case, answer))
        self._keep_whole(component, program.graph(cases[0], list(outputs[0])), allow(outputs), len(cases))
        return outputs

    def _keep_whole(
        self,
        component: str,
        model: ir.Model,
        allowances: Mapping[str, Allowance],
        cases: int,
        published: Mapping[str, int] | None = None,
    ) -> None:
        """A graph that brings its weights, and what its answers may differ by."""
        if not self.settings.components[component].precision.reduced:
            weights = from_arrays(large_initialisers(model))
            self._weights.derive(self.settings.folder(component), f"{component}.safetensors", weights)
        allowed, derived = settle(component, allowances)
        about = ExportedComponent(allowed, cases, allowances=derived, published=published or {})
        self._keep_graph(component, model, about)

    def asset(self, path: str, data: bytes) -> None:
        """A further small file of the image, at ``/models/<path>``."""
        self._check_free(path)
        self._write(path, data)
        self._exported.assets.append(path)

    def path(self, name: str) -> Path:
        """A file of the image where it lies in this stage, by the name that ``Components.path`` takes: an asset that was
        given, or a file of the checkpoint that is shipped."""
        shipped = {each.path for each in self.settings.ship}
        if name not in self._exported.assets and name not in shipped:
            raise BakeError(f"The image has no file '{name}'.", next_action="Give it by bake.asset, or ship it.")
        return self.checkpoint / name if name in shipped else self._exported.model_file(name)

    def reference(
        self,
        fields: Mapping[str, str | int | float | WarmupFile],
        answer: bytes,
        media_type: str,
        tolerance: float | None = None,
    ) -> None:
        """The warm-up request, and what the framework answered to it.

        tolerance: the largest absolute difference allowed between samples of a WAV, or between numbers at the same
            places of a JSON document; of any other media type the bytes must be equal. By default the answer may be as far
            off, for its largest number, as the graphs' outputs may be for theirs: call this after ``graph``.
        """
        if self._exported.warmup:
            raise BakeError("There is a warm-up request already.", next_action="Give one.")
        paths = {"answer": f"warmup/answer.{_SUFFIXES.get(media_type, 'bin')}", "request": "warmup/request.json"}
        files = {name: value for name, value in fields.items() if isinstance(value, WarmupFile)}
        given = {name: {"file": f"warmup/{value.name}"} for name, value in files.items()}
        self._write(paths["request"], canonical_json({"fields": {**fields, **given}}))
        self._write(paths["answer"], answer)
        for file in files.values():
            self._check_free(f"warmup/{file.name}")
            self._write(f"warmup/{file.name}", file.data)
        allowed = self._allow_answer(answer, media_type) if tolerance is None else tolerance
        self._exported.warmup.update(paths, media_type=media_type, tolerance=allowed)

    def _allow_answer(self, answer: bytes, media_type: str) -> float:
        found = [about.allowances.values() for about in self._exported.components.values()]
        return allow_answer(answer, media_type, [[Allowance.read(each) for each in outputs] for outputs in found])

    @property
    def tolerances(self) -> dict[str, float]:
        """By component that has its graph, the largest of its outputs'."""
        given = {name: about.tolerance for name, about in self._exported.components.items()}
        return {name: max(each.values()) if isinstance(each, Mapping) else each for name, each in given.items()}

    def finish(self) -> None:
        """Check that every component got its graph, and declare the export complete."""
        wanted = self.settings.components.keys() if self.settings.runtime == "onnxruntime" else set[str]()
        graphless = wanted - self._exported.components.keys()
        missing = [f"a graph of '{name}'" for name in sorted(graphless)]
        missing += [] if self._exported.warmup else ["a warm-up request"]
        if missing:
            raise BakeError(f"The export lacks {', '.join(missing)}.", next_action="Complete export.py.")
        self._weights.drop_unread()
        self._exported.assets.sort()
        self._exported.save()

    def _check_component(self, component: str) -> None:
        if component not in self.settings.components:
            known = ", ".join(sorted(self.settings.components))
            raise BakeError(f"image.yaml has no component '{component}'.", next_action=f"It has: {known}.")
        if self.settings.runtime != "onnxruntime":
            raise BakeError(
                f"{component}: torch serves it from the published weights, with no graph and none converted.",
                next_action="Give the assets and the reference alone in export_torch.",
            )

    def _check_free(self, path: str) -> None:
        plain = PurePosixPath(path)
        if plain.is_absolute() or ".." in plain.parts or str(plain) != path or path in ("", ".", "manifest.json"):
            raise BakeError(f"'{path}' is no path under /models.", next_action="Give a relative one.")
        if (
            self._exported.model_file(path).exists()
            or path in self._weights.published
            or path in self._exported.derived
        ):
            raise BakeError(f"{path} exists already.", next_action="Choose another path.")

    def _write(self, path: str, data: bytes) -> None:
        target = self._exported.model_file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def export_image(settings: Settings, checkpoint: Path, out: Path, shard: int = SHARD) -> None:
    """Run the image's ``export`` (``export_torch`` where torch serves), as a rule that of ``images.<image>.export``, into the
    empty folder ``out``. Derived weights come in files of ``shard`` bytes at most."""
    name = settings.exporter or f"images.{settings.image}.export"
    module, entry = importlib.import_module(name), "export" if settings.runtime == "onnxruntime" else "export_torch"
    if not hasattr(module, entry):
        raise BakeError(
            f"{name} has no {entry}(bake), and this target is served by {settings.runtime}.",
            next_action="Write it: it gives what `export` gives, but for the graphs.",
        )
    bake = Bake(settings.for_export(), checkpoint, out, shard)
    getattr(module, entry)(bake)
    bake.finish()
