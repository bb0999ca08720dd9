"""Flags that several commands have, each declared once."""

from __future__ import annotations

import argparse
from typing import cast

from prebake.commands.command import Given
from prebake.oci.compression import COMPRESSIONS
from prebake.plan.values import Options
from prebake.sizes import read_bytes
from prebake.spec.image import TARGETS, Target
from prebake.spec.licences import LicenceInvalid, canonical_licence


def add_project(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--project", metavar="DIR", help="the folder that holds images/ (default: the nearest from here upwards)"
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="the image: a folder of images/")
    parser.add_argument("--model", metavar="NAME", help="the same")


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Which image of the project, for which target, of which checkpoint."""
    add_project(parser)
    add_model(parser)
    add_target(parser)


def add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", choices=TARGETS, help="(default: cpu)")
    parser.add_argument("--checkpoint", metavar="NAME", help="one of image.yaml's checkpoints, if not its default")


def add_tag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tag", metavar="REF", help="the image's reference (default: prebake/MODEL:TARGET-CHECKPOINT)")


def add_base(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", metavar="REF", help="auto (the default), bootstrap, or an image with Python 3.11")


def add_licence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-licence",
        action="append",
        metavar="ID",
        type=licence,
        help="of weights whose terms ask for it, once they were read; may be given again (also PREBAKE_ACCEPT_LICENCE)",
    )


def add_compression(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compression",
        choices=COMPRESSIONS,
        help="of layers; auto (the default) packs by zstd what that pays for, gzip is for engines without zstd",
    )


def add_json(parser: argparse.ArgumentParser, what: str = "print JSON for programs") -> None:
    parser.add_argument("--json", action="store_true", help=what)


def options_of(given: Given) -> Options:
    """Target, checkpoint and tag, as far as the command has them."""
    return Options(cast(Target, given.get("target", "cpu")), given.get("checkpoint"), given.get("tag"))


def positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def licence(text: str) -> str:
    """An SPDX licence expression in its canonical spelling."""
    try:
        return canonical_licence(text)
    except LicenceInvalid as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def size(text: str) -> str:
    """Bytes with a unit, as ``1GB``."""
    try:
        read_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
