"""``prebake run``: a built image on this machine."""

from __future__ import annotations

import argparse
import os

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.image_labels import with_metadata
from prebake.commands.shared.output import log
from prebake.workflow.requests import ADDRESS_VARIABLES, RunRequest


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_image(parser)
    flags.add_tag(parser)
    parser.add_argument(
        "--port",
        type=_port,
        metavar="N",
        help="the port of 127.0.0.1; if it is in use, the command ends (default: the first free one from 8000 on)",
    )
    parser.add_argument(
        "-e",
        "--env",
        dest="environment",
        action="append",
        type=_variable,
        metavar="NAME=VALUE",
        help="a variable of the container, as PREBAKE_WORKERS=2; NAME alone takes the value that it has here; may be repeated",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="mount the code of images/NAME, and start the model's process again when a file of it changes",
    )
    parser.add_argument(
        "--open",
        action="store_true",
        help="open the page in a browser once it is ready, with the token of administration",
    )
    flags.add_json(parser, "print the container's log as it is: lines of JSON")
    parser.add_argument("--build", action="store_true", help="build the image first; finished steps are reused")


def read(arguments: Arguments) -> RunRequest:
    environment = dict(arguments.get("environment", ()))
    if moved := sorted(ADDRESS_VARIABLES & environment.keys()):
        arguments.error(f"-e {moved[0]} would move the server away from the published port; give --port N")
    return RunRequest(
        root=arguments.root(),
        model=arguments.model(),
        options=flags.plan_options(arguments),
        environment=environment,
        accepted_licenses=arguments.accepted_licenses(),
        **arguments.pick("port", "watch", "open", "json", "build"),
    )


def run(request: RunRequest) -> None:
    from dataclasses import replace

    from prebake.workflow.local_run.run import run_image

    _end_with_the_terminal()
    if request.build:
        request = replace(request, options=with_metadata(request.options, request.root))
    run_image(request, log, lambda line: print(line, flush=True))


def _end_with_the_terminal() -> None:
    """SIGHUP ends the command as SIGTERM does: otherwise the container would run on. Under nohup it stays ignored."""
    import signal

    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))


def _port(text: str) -> int:
    port = flags.positive_int(text)
    if port > 65535:
        raise argparse.ArgumentTypeError("must be at most 65535")
    return port


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    if not equals and name not in os.environ:
        raise argparse.ArgumentTypeError(f"the variable {name} is not set here; give {name}=VALUE")
    return name, value if equals else os.environ[name]


COMMAND = Command("run", HELP["run"], add_flags, read, run)
