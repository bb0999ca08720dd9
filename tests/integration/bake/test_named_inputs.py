"""Modules whose ``forward`` takes ``**inputs``: a cache of as many layers as the checkpoint has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch

from prebake.bake.importers.torch_module import export_graph
from prebake.bake.precision.half_module import HalfModule


class Growing(torch.nn.Module):
    """One row more in each of the caches, and the sum of all."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(4.0))

    def forward(self, row: torch.Tensor, **caches: torch.Tensor) -> tuple[torch.Tensor, ...]:
        grown = [torch.cat([each, row * self.weight]) for each in caches.values()]
        return (sum((each.sum(0) for each in grown), row[0]), *grown)


def case(rows: int) -> dict[str, torch.Tensor]:
    return {name: torch.full((count, 4), 0.5) for name, count in (("row", 1), ("first", rows), ("second", rows))}


def test_each_input_is_the_graphs_own_by_its_name_and_grows_from_nothing(tmp_path: Path) -> None:
    module = Growing().eval()
    grown = {name: {0: torch.export.Dim("rows", min=0, max=9)} for name in ("first", "second")}
    names = ["sum", "next_first", "next_second"]
    ir.save(export_graph("growing", module, case(3), names, grown), tmp_path / "model.onnx")
    session = ort.InferenceSession(tmp_path / "model.onnx")
    assert [each.name for each in session.get_inputs()] == ["row", "first", "second"]
    for count in (0, 1, 5):
        got = session.run(names, {name: each.numpy() for name, each in case(count).items()})
        for one, wanted in zip(got, module(**case(count)), strict=True):
            assert np.array_equal(one, wanted.detach().numpy())


class Clock(torch.nn.Module):
    """A hand's place after a time, which half precision would round to whole turns."""

    speed: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("speed", torch.tensor([1.0009765625 + 2**-16]), persistent=False)
        self.length = torch.nn.Parameter(torch.ones(1))

    def forward(self, time: torch.Tensor) -> torch.Tensor:
        return (time * self.speed).cos().to(self.length.dtype) * self.length


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 0.001), ("bf16", 0.01)])
def test_what_half_precision_is_too_coarse_for_stays(precision: str, bound: float) -> None:
    module, inputs = Clock().eval(), {"time": torch.tensor([980.25, 517.3, 3.0])}
    wanted = module(**inputs)
    kept = HalfModule(module, precision, ("time", "speed"))
    assert kept.module.length.dtype is not torch.float32
    assert (kept(**inputs) - wanted).abs().max() < bound
    for coarse in ((), ("time",), ("speed",)):
        assert (HalfModule(module, precision, coarse)(**inputs) - wanted).abs().max() > 10 * bound


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_reaches_inputs_by_name(precision: str) -> None:
    module = Growing().eval()
    for got, wanted in zip(HalfModule(module, precision)(**case(2)), module(**case(2)), strict=True):
        assert got.dtype is torch.float32
        assert torch.equal(got, wanted)
