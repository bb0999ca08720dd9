"""Flags of several commands, each declared once."""

from __future__ import annotations

import argparse
from typing import cast

from prebake.commands.shared.command import Arguments
from prebake.io.byte_sizes import parse_bytes
from prebake.oci.layers.compression import COMPRESSIONS
from prebake.plan.values import Options
from prebake.spec.image.image import TARGETS, Target
from prebake.spec.image.licenses import LicenseInvalid, canonical_license


def add_project(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--project",
        metavar="DIR",
        help="the project: a folder that contains images/ (default: the nearest one, from this folder upwards)",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="the image: the name of a folder in images/")
    parser.add_argument("--model", metavar="NAME", help="the same as NAME")


def add_image(parser: argparse.ArgumentParser) -> None:
    """The image of the project, its target and its checkpoint."""
    add_project(parser)
    add_model(parser)
    add_target(parser)


def add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", choices=TARGETS, help="the hardware that the image is built for (default: cpu)")
    parser.add_argument(
        "--checkpoint", metavar="NAME", help="a checkpoint of image.yaml (default: `checkpoint` of image.yaml)"
    )


def add_tag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tag", metavar="REF", help="the tag of the image (default: prebake/NAME:TARGET-CHECKPOINT)")


def add_base(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base",
        metavar="REF",
        help="the base image: auto (`base` of image.yaml if the Engine has it or can pull it, else bootstrap), bootstrap (made "
        "from Debian packages), or the reference of an image with Python 3.11 (default: auto)",
    )


def add_license(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-license",
        action="append",
        metavar="ID",
        type=license_expression,
        help="accept the license ID of the weights, after you have read it; may be repeated; PREBAKE_ACCEPT_LICENSE adds to it",
    )


def add_compression(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compression",
        choices=COMPRESSIONS,
        help="the compression of layers: auto uses zstd for each layer that it shrinks to 90%% or less; gzip is for engines "
        "without zstd; raw compresses nothing (default: auto)",
    )


def add_json(parser: argparse.ArgumentParser, help: str = "print the result as JSON") -> None:
    parser.add_argument("--json", action="store_true", help=help)


def plan_options(arguments: Arguments) -> Options:
    """Target, checkpoint and tag; the defaults for flags that the command lacks."""
    return Options(cast(Target, arguments.get("target", "cpu")), arguments.get("checkpoint"), arguments.get("tag"))


def positive_int(text: str) -> int:
    return _int_from(1, text)


def whole_number(text: str) -> int:
    return _int_from(0, text)


def _int_from(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from error
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}")
    return value


def license_expression(text: str) -> str:
    """An SPDX license expression in its canonical spelling."""
    try:
        return canonical_license(text)
    except LicenseInvalid as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def network(text: str) -> int:
    """The bits per second of a text such as ``1Gbps``."""
    from prebake.workflow.absent.bit_rate import parse_network

    try:
        return parse_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def byte_size(text: str) -> str:
    """Bytes with a unit, as ``1GB``."""
    try:
        parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
