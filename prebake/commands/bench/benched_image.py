"""The image that both benchmarks build and start, and the state of the machine before each start."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments
from prebake.commands.shared.image_labels import with_metadata
from prebake.plan.values import Options
from prebake.workflow.requests import BuildRequest, State


@dataclass(frozen=True)
class BenchedImage:
    """``state``: of the page cache or of the whole machine before each start."""

    root: Path
    model: str
    options: Options
    accepted_licenses: tuple[str, ...]
    base: str = "auto"
    state: State = "warm"

    def build_request(self) -> BuildRequest:
        """The build of the image into the Engine. Raises LabelsInvalid or SourceDateInvalid."""
        return BuildRequest(
            root=self.root,
            model=self.model,
            options=with_metadata(self.options, self.root),
            base=self.base,
            accepted_licenses=self.accepted_licenses,
        )


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_image(parser)
    flags.add_tag(parser)
    flags.add_base(parser)
    flags.add_license(parser)
    parser.add_argument(
        "--state",
        choices=("warm", "cold", "absent"),
        help="before each start: leave the page cache as it is (warm); drop it (cold), which needs root; or remove the image and "
        "pull it into an empty Engine (absent), which needs --baseline, --gate or a limit, and root on Linux (default: warm)",
    )


def read(arguments: Arguments) -> BenchedImage:
    return BenchedImage(
        arguments.root(),
        arguments.model(),
        flags.plan_options(arguments),
        arguments.accepted_licenses(),
        **arguments.pick("base", "state"),
    )
