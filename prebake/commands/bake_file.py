"""``prebake bake-file``: contexts, and one file that builds them all with ``docker buildx bake``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.labels import add_label, find_metadata
from prebake.commands.printing import tell
from prebake.oci.compression import COMPRESSIONS, Compression
from prebake.spec.image import TARGETS, Target


@dataclass(frozen=True)
class BakeFileRequest:
    """Which images and targets, and the folder that they go to; without ``models`` or ``targets`` all of them."""

    root: Path
    folder: str
    models: tuple[str, ...]
    targets: tuple[Target, ...]
    accepted_licences: tuple[str, ...]
    labels: tuple[str, ...]
    compression: Compression = "auto"


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_project(parser)
    parser.add_argument("folder", metavar="DIR", help="where the contexts and the file go")
    parser.add_argument("names", nargs="*", metavar="NAME", help="images; all of the project where none is named")
    parser.add_argument("--model", action="append", metavar="NAME", help="the same; may be given again")
    parser.add_argument("--target", action="append", choices=TARGETS, help="may be given again; all by default")
    flags.add_licence(parser)
    parser.add_argument(
        "--compression",
        choices=COMPRESSIONS,
        help="of layers, written into the file for BuildKit (default: auto, BuildKit's own choice)",
    )
    add_label(parser)


def read(given: Given) -> BakeFileRequest:
    models = tuple(dict.fromkeys([*given.get("names", ()), *given.get("model", ())]))
    targets = tuple(dict.fromkeys(given.get("target", ())))
    folder, labels = given.get("folder"), tuple(given.get("label", ()))
    return BakeFileRequest(
        given.root(), folder, models, targets, given.accepted_licences(), labels, **given.only("compression")
    )


def run(request: BakeFileRequest) -> None:
    from prebake.workflow.fleet import Fleet, write_fleet

    metadata = find_metadata(request.root, request.labels)
    fleet = Fleet(
        request.root, request.models, request.targets, request.accepted_licences, metadata, request.compression
    )
    print(write_fleet(fleet, Path(request.folder), tell))


COMMAND = Command("bake-file", "write contexts and docker-bake.json for `docker buildx bake`", add_flags, read, run)
