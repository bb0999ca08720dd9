"""Writes a component's graph, its weights and its parity cases into the export folder."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir
import torch

from prebake.bake.errors import BakeError
from prebake.bake.graphs import onnx_files
from prebake.bake.graphs.external_data import WeightFiles, link_initializers
from prebake.bake.graphs.initializers import embed_small, large_initializers
from prebake.bake.graphs.int8_saturation import unshare_int8_constants
from prebake.bake.graphs.provider_options import CPU
from prebake.bake.importers import torch_module
from prebake.bake.importers.torch_program import TorchProgram
from prebake.bake.importers.torch_reference import (
    check_cases,
    check_fp32_names,
    run_in_float64,
    run_reference,
    to_array,
)
from prebake.bake.model_folder.export_folder import Exported, ExportedComponent
from prebake.bake.model_folder.export_weights import ExportedWeights
from prebake.bake.parity.compare import Case, Tolerance
from prebake.bake.parity.tolerances import ToleranceBasis, find_tolerance_bases, resolve_tolerances
from prebake.bake.precision.half_module import HalfModule
from prebake.bake.precision.quantization import Sample
from prebake.bake.precision.quantization_error import run_shifted
from prebake.bake.precision.reduction import reduce_precision
from prebake.bake.published.determinism import check_determinism
from prebake.bake.published.graph_file import PublishedGraph, inspect_graph
from prebake.bake.published.graph_preparation import ConstantFolding, fold_constants, prepare_graph
from prebake.bake.published.input_search import run_graph
from prebake.bake.weights.numpy_arrays import Array, from_arrays
from prebake.documents.component import HALF_TYPES
from prebake.documents.settings import StageSettings
from prebake.documents.stage_events import COMPONENT_EXPORTED, EventLog, StageEvent

Cases = Sequence[Mapping[str, Array]]


@dataclass(frozen=True)
class ModuleExport:
    """A torch module and how to export it. ``Bake.graph`` describes the fields."""

    module: torch.nn.Module
    cases: Sequence[torch_module.Inputs]
    outputs: Sequence[str]
    dynamic: Mapping[str, Mapping[int, torch_module.Axis]]
    tolerance: Tolerance | None
    calibration: Sequence[torch_module.Inputs]
    keep_in_fp32: Collection[str]


class GraphWriter:
    """Writes the graphs of one export."""

    def __init__(self, settings: StageSettings, checkpoint: Path, exported: Exported, weights: ExportedWeights) -> None:
        self._settings = settings
        self._checkpoint = checkpoint
        self._exported = exported
        self._weights = weights

    def check_component(self, component: str) -> None:
        """Raise BakeError if image.yaml does not name the component, or if this target has no graphs."""
        if component not in self._settings.components:
            known = ", ".join(sorted(self._settings.components))
            raise BakeError(f"image.yaml has no component '{component}'.", next_action=f"use one of: {known}")
        if self._settings.runtime != "onnxruntime":
            raise BakeError(
                f"{component}: this target runs the published weights with torch; it has no graphs and no converted weights.",
                next_action="call only bake.asset and bake.reference in export_torch",
            )

    def write_module(self, component: str, export: ModuleExport) -> None:
        """Export a torch module. Raises BakeError if the cases do not fit it, or if torch cannot export it."""
        self.check_component(component)
        if component in self._exported.components:
            raise BakeError(f"{component} already has a graph.", next_action="call bake.graph once for each component")
        module, cases = export.module, export.cases
        check_cases(component, module, cases, export.dynamic)
        check_fp32_names(component, module, cases[0], export.keep_in_fp32)
        references = [run_reference(component, module, case, export.outputs) for case in cases]
        self._write_cases(component, references)
        bases = self._find_tolerance_bases(component, export, [reference.outputs for reference in references])
        precision = self._settings.components[component].precision
        if precision.type in HALF_TYPES and not self._settings.keeps_half(component):
            module = HalfModule(module, precision.type, export.keep_in_fp32)
        model = torch_module.export_graph(component, module, cases[0], export.outputs, export.dynamic)
        samples = [
            {name: to_array(component, name, tensor) for name, tensor in sample.items()}
            for sample in export.calibration
        ]
        tolerance, derived = resolve_tolerances(component, bases, export.tolerance)
        ranges = torch_module.find_ranges(export.dynamic)
        self._write_graph(
            component,
            model,
            ExportedComponent(tolerance=tolerance, cases=len(cases), ranges=ranges, allowances=derived),
            samples,
        )

    def write_published(
        self, component: str, path: str, cases: Cases, published: PublishedGraph | None = None
    ) -> Sequence[Mapping[str, Array]]:
        """Copy a published ONNX file and return its outputs. Raises BakeError if it cannot be served."""
        self.check_component(component)
        published = published or inspect_graph(component, self._checkpoint / path).with_inputs(cases[0])
        outputs = [run_graph(published, case) for case in cases]
        for note in check_determinism(published, cases, outputs):
            print(f"{component}: {note}", file=sys.stderr)
        self._write_cases(component, [Case(case, output) for case, output in zip(cases, outputs, strict=True)])
        with onnx_files.copy_with_external_data(self._checkpoint / path) as copy:
            model = onnx_files.load(copy)
            embed_small(model)
            bases = find_tolerance_bases(outputs, shifted=run_shifted(copy, cases))
            lifted_bytes = prepare_graph(model, published.signature, published.locale)
            with self._folded(component, model, lifted_bytes) as (model, folding):
                print(f"{component}: {folding}", file=sys.stderr)
                self._write_with_own_weights(component, model, bases, len(cases), folding)
        return outputs

    def write_program(self, component: str, program: TorchProgram, cases: Cases) -> Sequence[Mapping[str, Array]]:
        """Convert a published torch program and return its outputs. Raises BakeError if torch cannot convert it."""
        self.check_component(component)
        outputs = [program.run(case) for case in cases]
        self._write_cases(component, [Case(case, output) for case, output in zip(cases, outputs, strict=True)])
        model = program.to_onnx(cases[0], list(outputs[0]))
        self._write_with_own_weights(component, model, find_tolerance_bases(outputs), len(cases))
        return outputs

    def _find_tolerance_bases(
        self, component: str, export: ModuleExport, outputs: Sequence[Mapping[str, Array]]
    ) -> dict[str, ToleranceBasis]:
        """A ``max_relative_error`` in image.yaml replaces the derived tolerances, so the float64 run is skipped then."""
        if self._settings.components[component].precision.bounded:
            return find_tolerance_bases(outputs)
        exact = [run_in_float64(export.module, case, list(outputs[0])) for case in export.cases]
        return find_tolerance_bases(outputs, exact)

    @contextmanager
    def _folded(self, component: str, model: ir.Model, lifted_bytes: int) -> Iterator[tuple[ir.Model, ConstantFolding]]:
        """The graph after constant folding, or as published if another target or precision needs the published weights."""
        spec = self._settings.components[component]
        if spec.precision.reduced or spec.providers[0] != CPU or self._settings.keep_published:
            yield model, ConstantFolding(_count_bytes(model), lifted_bytes)
            return
        with fold_constants(component, model, lifted_bytes) as folded:
            yield folded

    def _write_with_own_weights(
        self,
        component: str,
        model: ir.Model,
        bases: Mapping[str, ToleranceBasis],
        cases: int,
        folding: ConstantFolding | None = None,
    ) -> None:
        """Save the graph's weights as a derived file of the component, then the graph."""
        if not self._settings.components[component].precision.reduced:
            weights = from_arrays(large_initializers(model))
            self._weights.derive(self._settings.folder(component), f"{component}.safetensors", weights)
        tolerance, derived = resolve_tolerances(component, bases)
        published = folding.to_dict() if folding else {}
        self._write_graph(
            component,
            model,
            ExportedComponent(tolerance=tolerance, cases=cases, allowances=derived, published=published),
        )

    def _write_graph(
        self, component: str, model: ir.Model, exported: ExportedComponent, samples: Sequence[Sample] = ()
    ) -> None:
        with reduce_precision(self._settings, component, model, samples, self._exported.folder) as (model, precision):
            unshare_int8_constants(model)
            if precision and self._settings.components[component].precision.makes_weights:
                name = f"{component}.{precision.type}.safetensors"
                tensors = from_arrays(large_initializers(model))
                weights = self._weights.derive(self._settings.folder(component), name, tensors)
            else:
                weights = tuple(self._weights.of(component))
            constants = self._exported.constants(component, self._settings.constants(component))
            files = WeightFiles([path for path in weights if path.suffix == ".safetensors"])
            report = link_initializers(model, files, constants)
            onnx_files.save(model, self._exported.graph(component), component)
        reduced = precision.to_dict() if precision else {}
        exported = replace(exported, report=report.to_dict(), reduced=reduced)
        self._exported.components[component] = exported
        message = f"exported, {report}{f', {precision}' if precision else ''}"
        figures = {**exported.report, **exported.reduced}
        EventLog(self._exported.folder).write(StageEvent(COMPONENT_EXPORTED, component, message, figures))

    def _write_cases(self, component: str, cases: Sequence[Case]) -> None:
        for number, case in enumerate(cases):
            self._exported.write_case(component, number, case)


def _count_bytes(model: ir.Model) -> int:
    return sum(array.nbytes for array in large_initializers(model).values())
