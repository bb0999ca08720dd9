"""``--label``, and the image's metadata, read from git, the CI system and the environment."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prebake.commands.shared.output import log
from prebake.plan.image_metadata import Metadata
from prebake.plan.values import Options


def add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--label",
        action="append",
        metavar="KEY=VALUE",
        help="a label of the image, such as org.opencontainers.image.vendor=ACME; may be repeated",
    )


def find_metadata(root: Path, labels: Sequence[str] = ()) -> Metadata:
    """The metadata of the project at ``root``. Raises LabelsInvalid or SourceDateInvalid."""
    from prebake.workflow.metadata.image_metadata import read_metadata

    return read_metadata(root, labels, os.environ, log)


def with_metadata(options: Options, root: Path, labels: Sequence[str] = ()) -> Options:
    """``options`` with the metadata of the project at ``root``. Raises LabelsInvalid or SourceDateInvalid."""
    return replace(options, metadata=find_metadata(root, labels))
