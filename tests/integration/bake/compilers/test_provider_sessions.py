"""A provider is unregistered when none of its sessions is left: a test that leaves one fails, and the process goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.repository import ROOT

UNREGISTERED = """
import gc, sys
import onnxruntime
from tests.support.container.plugin import NAME, OPTIONS, registered

class Holder:
    pass

gc.disable()
library, graph, kept = sys.argv[1:]
with registered(library):
    holder = Holder()
    holder.itself = holder
    options = onnxruntime.SessionOptions()
    devices = [each for each in onnxruntime.get_ep_devices() if each.ep_name == NAME]
    options.add_provider_for_devices(devices[:1], OPTIONS)
    holder.session = onnxruntime.InferenceSession(graph, options)
    assert NAME in holder.session.get_providers()
    if not kept:
        del holder
print(gc.collect())
"""


@pytest.mark.parametrize(("kept", "status"), [("", 0), ("kept", 1)])
def test_no_session_outlives_its_provider(
    installed: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str, status: int
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)  # by which ``plugin`` registers the provider in every process
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    command = [sys.executable, "-c", UNREGISTERED, installed[1], str(tmp_path / "model.onnx"), kept]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == status, ended.stderr
    assert ("1 sessions of QNNExecutionProvider are still referenced" in ended.stderr) == bool(kept)
