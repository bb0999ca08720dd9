"""``prebake bake-file``: build contexts, and one file that builds them all with ``docker buildx bake``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.image_labels import add_label, find_metadata
from prebake.commands.shared.output import log
from prebake.oci.layers.compression import COMPRESSIONS
from prebake.spec.image.image import TARGETS
from prebake.workflow.requests import BakeFileRequest


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_project(parser)
    parser.add_argument("folder", metavar="DIR", help="the folder to write the contexts and docker-bake.json to")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="the images: names of folders in images/ (default: all images of the project)",
    )
    parser.add_argument("--model", action="append", metavar="NAME", help="the same as NAME; may be repeated")
    parser.add_argument(
        "--target",
        action="append",
        choices=TARGETS,
        help="a target; may be repeated (default: all targets of each image)",
    )
    flags.add_license(parser)
    parser.add_argument(
        "--compression",
        choices=COMPRESSIONS,
        help="the compression of layers, which BuildKit does; auto leaves the choice to BuildKit (default: auto)",
    )
    add_label(parser)


def read(arguments: Arguments) -> BakeFileRequest:
    models = tuple(dict.fromkeys([*arguments.get("names", ()), *arguments.get("model", ())]))
    targets = tuple(dict.fromkeys(arguments.get("target", ())))
    folder, labels = Path(arguments.get("folder")), tuple(arguments.get("label", ()))
    return BakeFileRequest(
        root=arguments.root(),
        folder=folder,
        models=models,
        targets=targets,
        accepted_licenses=arguments.accepted_licenses(),
        labels=labels,
        **arguments.pick("compression"),
    )


def run(request: BakeFileRequest) -> None:
    from prebake.workflow.render import write_bake_file

    print(write_bake_file(replace(request, metadata=find_metadata(request.root, request.labels)), log))


COMMAND = Command("bake-file", HELP["bake-file"], add_flags, read, run)
