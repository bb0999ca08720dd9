"""Networks in torch: loaded as published, opened by the server's own parts; what does not fit is told at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from entrypoints.components.opener import Opener
from entrypoints.contract import Network
from entrypoints.errors import SessionFault
from entrypoints.manifest.reader import parse_manifest, read_manifest
from entrypoints.processes.timeline import Timeline
from entrypoints.runtime.torch_network import NetworkFiles, NetworkMismatch, TorchSession, build_network, load_network
from prebake.documents.canonical import seal
from tests.support.images.blocks.checkpoint import CONFIG, bake, write_checkpoint
from tests.support.images.blocks.export import VALUES
from tests.support.images.blocks.model_torch import Blocks, build

WEIGHTS, CONFIG_FILE = "net/model.safetensors", "net/config.json"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint")


def load(checkpoint: Path, precision: str = "fp32", files: tuple[str, ...] = (WEIGHTS,)) -> Any:
    parts = NetworkFiles(checkpoint, "net", "net/config.json", files)
    return load_network(build_network(build, parts), parts, "cpu", precision)


def change(checkpoint: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(checkpoint / WEIGHTS).items()}
    change(tensors)
    save_file(tensors, checkpoint / WEIGHTS)


def test_it_computes_what_torch_computes_from_the_same_file(checkpoint: Path) -> None:
    wanted = Blocks(**CONFIG).eval()
    stored = {name.removeprefix("net."): tensor for name, tensor in load_file(checkpoint / WEIGHTS).items()}
    wanted.load_state_dict({**stored, "last.weight": stored["first.weight"]}, strict=False)
    x = np.random.RandomState(1).standard_normal((5, len(VALUES))).astype(np.float32)
    session = TorchSession(load(checkpoint), ("y", "count"), "cpu")
    answer = session.run({"x": x})
    np.testing.assert_array_equal(answer["y"], wanted(torch.from_numpy(x))[0].detach())
    assert answer["count"].dtype == np.int64


def test_nothing_is_left_on_the_meta_device_and_one_tensor_stays_one(checkpoint: Path) -> None:
    network = load(checkpoint)
    tensors = dict([*network.named_parameters(remove_duplicate=False), *network.named_buffers()])
    assert not [name for name, tensor in tensors.items() if tensor.is_meta or tensor.requires_grad]
    assert tensors["last.weight"].data_ptr() == tensors["first.weight"].data_ptr()


def test_weights_take_the_precision_and_what_the_model_made_keeps_its_own(checkpoint: Path) -> None:
    network = load(checkpoint, "bf16")
    assert {tensor.dtype for tensor in network.parameters()} == {torch.bfloat16}
    assert (network.ramp.dtype, network.count.dtype) == (torch.float32, torch.int64)
    answer = TorchSession(network, ("y", "count"), "cpu").run({"x": np.ones((2, len(VALUES)), np.float32)})
    assert answer["y"].dtype == np.float32


def mapped_from(tensor: torch.Tensor) -> str:
    """The file that a tensor's bytes are mapped from (proc(5), /proc/pid/maps); empty for memory of the process's own."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        places, *_, name = [*line.split(maxsplit=5), ""][:6]
        first, last = (int(place, 16) for place in places.split("-"))
        if first <= tensor.data_ptr() < last:
            return name
    return ""


def test_on_a_cpu_weights_are_the_files_own_pages(checkpoint: Path) -> None:
    path = str(checkpoint / WEIGHTS)
    assert {mapped_from(tensor) for tensor in load(checkpoint).parameters()} == {path}
    assert path not in {mapped_from(tensor) for tensor in load(checkpoint, "bf16").parameters()}


def test_every_misfit_is_told_at_once(checkpoint: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors.pop("net.layers.1.outer.bias")
        tensors["net.layers.0.inner.bias"] = torch.zeros(5)
        tensors["net.layers.2.inner.bias"] = torch.zeros(32)

    change(checkpoint, spoil)
    save_file({"net.first.weight": torch.zeros(16, 16)}, checkpoint / "net/more.safetensors")
    (checkpoint / "net/cut.safetensors").write_bytes((checkpoint / WEIGHTS).read_bytes()[:-7])
    with pytest.raises(NetworkMismatch) as caught:
        load(checkpoint, files=(WEIGHTS, "net/more.safetensors", "net/cut.safetensors", "net/none.safetensors"))
    problems = "\n".join(caught.value.problems)
    for words in (
        "net: layers.1.outer.bias [16] is in no weight file",
        f"{WEIGHTS}: net.layers.0.inner.bias is [5], net/config.json gives [32]",
        f"{WEIGHTS}: net.layers.2.inner.bias is not a tensor of the network that net/config.json describes",
        f"net/more.safetensors: net.first.weight is in {WEIGHTS} too",
        "net/cut.safetensors: cannot be read as safetensors",
        "net/none.safetensors: cannot be read as safetensors",
    ):
        assert words in problems
    assert len(caught.value.problems) == 6


@pytest.mark.parametrize("content", ["{", "[]", '{"width": "wide", "layers": 2}', '{"layers": 2}'])
def test_a_configuration_that_describes_nothing_is_named(checkpoint: Path, content: str) -> None:
    (checkpoint / "net/config.json").write_text(content)
    with pytest.raises(NetworkMismatch, match=r"net/config\.json: no network can be built from it"):
        load(checkpoint)


def test_what_nobody_makes_is_named(checkpoint: Path) -> None:
    def forgetful(component: str, config: Mapping[str, Any]) -> Network:
        network = Blocks(config["width"], config["layers"])
        network.ramp = torch.empty(config["width"], device="meta")
        return Network(network, network, ("y", "count"), lambda name: name.removeprefix("net."))

    change(checkpoint, lambda tensors: tensors.pop("training.step"))
    parts = NetworkFiles(checkpoint, "net", "net/config.json", (WEIGHTS,))
    with pytest.raises(NetworkMismatch, match="ramp stays on the meta device"):
        load_network(build_network(forgetful, parts), parts, "cpu", "fp32")


def test_an_image_for_a_gpu_says_that_there_is_none(tmp_path: Path) -> None:
    models = bake(tmp_path)
    document = json.loads((models / "manifest.json").read_bytes())
    document["torch"]["device"] = "cuda"
    opener = Opener(models, parse_manifest(seal(document)), Timeline(), None)
    opener.start(1)
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SessionFault, match="torch finds no device"):
        opener.components.session("net")


def test_a_component_that_does_not_fit_is_a_fault_with_all_of_it(tmp_path: Path) -> None:
    models = bake(tmp_path)
    change(models, lambda tensors: [tensors.pop(name) for name in ("net.first.weight", "net.layers.0.inner.bias")])
    opener = Opener(models, read_manifest(models), Timeline(), None)
    opener.start(1)
    with pytest.raises(SessionFault) as caught:
        opener.components.session("net")
    assert len(caught.value.problems) == 3  # the tied name is missing with its twin
