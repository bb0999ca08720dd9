"""What ``prebake init`` would fetch, and of what, by names alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from prebake.workflow.init.origin import Origin, parse_origin
from prebake.workflow.init.published_files import choose_files
from prebake.workflow.init.recognizers.graph_variants import group_variants
from prebake.workflow.init.recognizers.recognizer import InitRefused

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub(repository: str, file: str = "", revision: str = "main") -> Origin:
    return Origin({"from": "hub", "repository": repository, "revision": revision}, file)


def taken(*names: str, wanted: str = "") -> list[str]:
    return list(choose_files(names, wanted, "hub:owner/name").weights)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hub:owner/tiny", [hub("owner/tiny")]),
        (f"hub:owner/tiny@{COMMIT}", [hub("owner/tiny", revision=COMMIT)]),
        ("hub:gpt2", [hub("gpt2")]),
        ("hub:gpt2@v1", [hub("gpt2", revision="v1")]),
        ("hub:owner/tiny/onnx/q4.onnx", [hub("owner/tiny", "onnx/q4.onnx"), hub("owner", "tiny/onnx/q4.onnx")]),
        ("hub:owner/tiny/a.onnx@v1", [hub("owner/tiny", "a.onnx", "v1"), hub("owner", "tiny/a.onnx", "v1")]),
        ("hub:owner/tiny@refs/pr/1", [hub("owner/tiny", revision="refs/pr/1")]),
        ("hub:owner/tiny@refs/pr/1/onnx/a.onnx", [hub("owner/tiny", "onnx/a.onnx", "refs/pr/1")]),
        ("hub:owner/tiny@main/a.onnx", [hub("owner/tiny", "a.onnx")]),
        ("hub:gpt2/model.onnx", [hub("gpt2/model.onnx"), hub("gpt2", "model.onnx")]),
        (
            "modelscope:owner/tiny/a.onnx",
            [Origin({"from": "modelscope", "repository": "owner/tiny", "revision": "master"}, "a.onnx")],
        ),
        ("s3://bucket/models/tiny", [Origin({"from": "s3", "url": "s3://bucket/models/tiny"})]),
        ("s3://bucket/models/a.onnx", [Origin({"from": "s3", "url": "s3://bucket/models"}, "a.onnx")]),
        ("gs://bucket/a.onnx", [Origin({"from": "gs", "url": "gs://bucket"}, "a.onnx")]),
        ("gs://bucket.onnx", [Origin({"from": "gs", "url": "gs://bucket.onnx"})]),
        ("oci:host/path:v1", [Origin({"from": "oci", "reference": "host/path:v1"})]),
        ("https://host/a.onnx", [Origin({"from": "http", "url": "https://host/a.onnx"})]),
        ("models/a.onnx", []),
        ("C:/models/a.onnx", []),
    ],
)
def test_where_a_checkpoint_is_published_is_read(text: str, expected: Sequence[Origin]) -> None:
    assert list(parse_origin(text)) == list(expected)


@pytest.mark.parametrize("text", ["hub:", "hub:a b", "modelscope:name", "s3://", "oci:alone"])
def test_what_names_no_source_is_refused(text: str) -> None:
    with pytest.raises(InitRefused, match=r"is not a valid \w+ source"):
        parse_origin(text)


def test_of_several_forms_one_is_taken_for_each_part() -> None:
    pipeline = (
        "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.bin",
        "vae/diffusion_pytorch_model.bin", "safety_checker/model.safetensors", "tf_model.h5", "onnx/model.onnx",
        "text_encoder/model-00001-of-00002.safetensors", "text_encoder/model-00002-of-00002.safetensors",
    )  # fmt: skip
    assert sorted(taken(*pipeline)) == [
        "text_encoder/model-00001-of-00002.safetensors",
        "text_encoder/model-00002-of-00002.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.bin",
    ]
    assert taken("model-00001-of-00001.safetensors", "model.safetensors") == ["model.safetensors"]
    assert taken("a.onnx", "a.onnx_data", "net.pt2") == ["a.onnx"]
    assert taken("net.pt2", "README.md") == ["net.pt2"]


@pytest.mark.parametrize(
    "forms",
    [
        ("onnx/model.onnx", "onnx/model_q4f16.onnx", "onnx/model_bnb4.onnx", "onnx/model_uint8.onnx", "onnx/model_O3.onnx"),
        ("model.onnx", "model_qint8_avx512_vnni.onnx", "model_quint8_avx2.onnx", "model_qint8_arm64.onnx", "model_int4.onnx"),
        ("kokoro-v1.0.onnx", "kokoro-v1.0.fp16.onnx", "kokoro-v1.0.int8.onnx", "kokoro-v1.0.fp16-sim.onnx"),
        ("model.onnx", "fp16/model.onnx", "onnx_int8/model_quantized.onnx"),
    ],
)  # fmt: skip
def test_the_plain_form_of_a_graph_is_taken_and_the_others_are_told(forms: Sequence[str]) -> None:
    choice = choose_files(("config.json", *forms), "", "hub:owner/name")
    assert choice.weights == (forms[0],)
    assert set(choice.left_out) == set(forms[1:])
    assert choice.documents == ("config.json",)


@pytest.mark.parametrize(
    "forms",
    [
        ("onnx/model_fp16.onnx", "onnx/model_q4.onnx"),
        ("fp16/model.onnx", "int8/model.onnx"),
        ("model.onnx", "onnx/model.onnx"),
        ("first.pt", "second.pt"),
    ],
)
def test_which_form_is_meant_is_asked_before_any_is_downloaded(forms: Sequence[str]) -> None:
    with pytest.raises(InitRefused) as caught:
        choose_files(forms, "", "hub:owner/name")
    assert all(form in caught.value.message for form in forms)
    assert "--file" in caught.value.next_action
    assert taken(*forms, wanted=forms[1]) == [forms[1]]


def test_parts_of_a_model_are_no_forms_of_each_other() -> None:
    names = (
        "encoder_model.onnx",
        "decoder_model.onnx",
        "decoder_with_past_model.onnx",
        "unet/model.onnx",
        "vae/model.onnx",
    )
    assert taken(*names) == list(names)
    assert [group.plain for group in group_variants(["only_int8.onnx"])] == ["only_int8.onnx"]


def test_a_file_or_a_folder_is_named() -> None:
    names = (
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "onnx/model.onnx",
        "onnx/model_q4.onnx",
        "onnx/a.json",
    )
    assert choose_files(names, "onnx/model_q4.onnx", "x").documents == ()
    assert taken(*names, wanted="onnx/model_q4.onnx") == ["onnx/model_q4.onnx"]
    assert taken(*names, wanted="onnx") == ["onnx/model.onnx"]
    pickles = choose_files(names, "pytorch_model.bin", "x")
    assert (pickles.weights, pickles.documents) == (("pytorch_model.bin",), ("config.json", "onnx/a.json"))
    with pytest.raises(InitRefused, match=r"no file or folder onnx/model_q8.onnx; it has onnx/model_q4.onnx"):
        choose_files(names, "onnx/model_q8.onnx", "x")
    with pytest.raises(InitRefused, match=r"it has model.safetensors, pytorch_model.bin, onnx/model.onnx"):
        choose_files(names, "nothing like it at all", "x")
