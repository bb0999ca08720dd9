"""``prebake init``: write ``images/NAME/`` for a checkpoint."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.output import log
from prebake.spec.image.component import TENSOR_TYPE
from prebake.workflow.requests import InitRequest


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_project(parser)
    parser.add_argument(
        "name",
        metavar="NAME",
        help="the name of the new image: lower-case letters, digits and _, beginning with a letter",
    )
    parser.add_argument(
        "--from",
        dest="origin",
        required=True,
        metavar="PATH",
        help="the checkpoint: an ONNX file or a folder of them; a .pt2 or TorchScript file; a transformers folder (text, token "
        "or image classification, embeddings, speech); a diffusers pipeline; or a published checkpoint: "
        "hub:[OWNER/]NAME[/FILE][@REVISION], modelscope:…, s3://…, gs://…, oci:… or the URL of a file",
    )
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="use only this file or folder of the checkpoint, such as onnx/model_q4.onnx",
    )
    parser.add_argument(
        "--input",
        action="append",
        type=_input,
        metavar="NAME=TYPE[AXES]",
        help="for TorchScript, the dtype and shape of an input: 'pixels=float32[batch, 3, 224, 224]'; for ONNX, the shape to run "
        "the graph with: 'images=[1, 3, 640, 640]'; may be repeated",
    )
    parser.add_argument(
        "--sample", metavar="FILE", help="real inputs for ONNX graphs, as .npz, .npy or .json (such as sample.json)"
    )
    parser.add_argument(
        "--license",
        type=flags.license_expression,
        metavar="ID",
        help="the license of the weights, an SPDX expression or LicenseRef-… (default: that of the model card)",
    )


def _input(text: str) -> tuple[str, str]:
    name, _, kind = text.partition("=")
    if not name or not re.fullmatch(TENSOR_TYPE, kind if not kind.startswith("[") else f"float32{kind}"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=TYPE[AXES], such as 'pixels=float32[batch, 3, 224, 224]'"
        )
    return name, kind


def read(arguments: Arguments) -> InitRequest:
    inputs, sample = dict(arguments.get("input", ())), arguments.get("sample")
    return InitRequest(
        root=arguments.root(required=False),
        name=arguments.get("name"),
        origin=arguments.get("origin"),
        inputs=inputs,
        sample=Path(sample) if sample else None,
        **arguments.pick("license", "file"),
    )


def run(request: InitRequest) -> None:
    from prebake.workflow.init.init import init_image

    print(init_image(request, log))


COMMAND = Command("init", HELP["init"], add_flags, read, run)
