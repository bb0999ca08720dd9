"""``prebake init``: look at a checkpoint and write ``images/NAME/``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.printing import tell
from prebake.spec.component import TENSOR_TYPE


@dataclass(frozen=True)
class InitRequest:
    """The image to be, and the checkpoint that it is made of; ``inputs`` are types by name."""

    root: Path
    name: str
    origin: str
    licence: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    sample: Path | None = None


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_project(parser)
    parser.add_argument("name", metavar="NAME", help="of the image: lower-case letters, digits and _, a letter first")
    parser.add_argument(
        "--from",
        dest="origin",
        required=True,
        metavar="PATH",
        help="ONNX, a file or a folder; a .pt2 or TorchScript file; a transformers folder (text, token or image classification, "
        "embeddings, speech); a diffusers pipeline; or where one is published: hub:[OWNER/]NAME[/FILE][@REVISION], modelscope:…, "
        "s3://…, gs://…, oci:…, a file's URL",
    )
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="of what --from names, the file to begin with and what it needs beside it, such as onnx/model_q4.onnx; or a folder",
    )
    parser.add_argument(
        "--input",
        action="append",
        type=_input,
        metavar="NAME=TYPE[AXES]",
        help="what TorchScript takes, which it does not tell: 'pixels=float32[batch, 3, 224, 224]'; of ONNX, the sizes to try it "
        "with: 'images=[1, 3, 640, 640]'; may be given again",
    )
    parser.add_argument(
        "--sample", metavar="FILE", help="real inputs of published graphs: .npz, .npy or .json (sample.json)"
    )
    parser.add_argument(
        "--licence",
        type=flags.licence,
        metavar="ID",
        help="the weights' SPDX expression, or LicenseRef-… (default: the model card's)",
    )


def _input(text: str) -> tuple[str, str]:
    name, _, kind = text.partition("=")
    if not name or not re.fullmatch(TENSOR_TYPE, kind if not kind.startswith("[") else f"float32{kind}"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no NAME=TYPE[AXES], such as 'pixels=float32[batch, 3, 224, 224]'"
        )
    return name, kind


def read(given: Given) -> InitRequest:
    inputs, sample = dict(given.get("input", ())), given.get("sample")
    return InitRequest(
        given.root(begun=False),
        given.get("name"),
        given.get("origin"),
        inputs=inputs,
        sample=Path(sample) if sample else None,
        **given.only("licence", "file"),
    )


def run(request: InitRequest) -> None:
    from prebake.workflow.beginnings.beginning import Asked
    from prebake.workflow.init import init_image

    asked = Asked(
        request.root,
        request.name,
        request.origin,
        request.licence,
        request.inputs,
        file=request.file,
        sample=request.sample,
    )
    print(init_image(asked, tell))


COMMAND = Command("init", "look at a checkpoint and write images/NAME/, ready to build", add_flags, read, run)
