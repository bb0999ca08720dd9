"""``runtime``: what torch may serve, and what it needs for it."""

from __future__ import annotations

import pytest

from prebake.errors import SpecInvalid
from prebake.spec.reading import parse_image

SPEC = """\
schema: 1
name: tiny
title: Tiny
targets: [cpu, cuda]
runtime: {cuda: torch}
checkpoint: sample
checkpoints:
  sample:
    licence: {id: MIT}
    sources:
      - from: sample
        seed: 7
        files: [net/config.json, net/model.safetensors, old/config.json, old/model.safetensors]
        ship: [net/model.safetensors]
components:
  net: {}
  old: {derived: true}
code:
  torch: [model_torch.py]
"""


def problems(text: str) -> list[str]:
    with pytest.raises(SpecInvalid) as caught:
        parse_image(text, "image.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_it_is_chosen_for_each_target() -> None:
    spec = parse_image(SPEC, "image.yaml")
    assert spec.runtime == {"cuda": "torch"}
    assert spec.code.torch == ("model_torch.py",)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("{cuda: torch}", "{cuda: tourch}", "runtime.cuda: input should be 'onnxruntime' or 'torch'"),
        ("{cuda: torch}", "{gpu: torch}", "runtime"),
        ("{cuda: torch}", "{cuda: torch}\ncompiled: {cuda: fast}", "compiled.cuda: input should be 'measured', 'aot'"),
        ("{cuda: torch}", "{cuda: torch}\ncompiled: {cpu: aot}", "compiled.cpu: torch does not serve 'cpu'"),
        ("[cpu, cuda]", "[cpu]", "targets does not name 'cuda'"),
        ("{cuda: torch}", "{tensorrt: torch}", "torch runs no TensorRT engines"),
        ("[model_torch.py]", "[]", "nothing builds networks in torch (list a model_torch.py in code.torch)"),
    ],
)
def test_what_torch_cannot_serve_is_said(before: str, after: str, expected: str) -> None:
    assert any(expected in line for line in problems(SPEC.replace(before, after)))


def test_every_component_that_lacks_its_files_is_named_at_once() -> None:
    found = problems(SPEC.replace("net/config.json, ", "").replace("old/config.json, old/model.safetensors", "old.pth"))
    assert len(found) == 2
    assert "components.net: torch serves it, and checkpoint 'sample' has no net/config.json" in found[0]
    assert (
        "components.old: torch serves it, and checkpoint 'sample' has no old/config.json and no old/*.safetensors"
        in (found[1])
    )


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_torch_serves_no_integers(kind: str) -> None:
    (found,) = problems(SPEC.replace("net: {}", f"net: {{precision: {kind}}}"))
    assert f"components.net.precision: torch serves it, and not in {kind}" in found
