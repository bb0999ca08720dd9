"""The bit rates that shaped links achieve on this machine, and the pull and the start of an image that the Engine has over each.

Run as ``python -m tests.benchmarks.network.rates --image IMAGE 100Mbps 1Gbps 10Gbps``, as root.
"""

from __future__ import annotations

import argparse
from statistics import median

from prebake.commands.shared import flags
from prebake.docker.connection import find_engine
from prebake.io.log import silent
from prebake.measure.start import time_first_request
from prebake.measure.warmup_request import read_warmups
from prebake.workflow.absent.bit_rate import format_network
from prebake.workflow.absent.launcher import absent_launcher
from prebake.workflow.absent.shaped_link import shaped_link


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rates", nargs="+", type=flags.network)
    parser.add_argument("--image", help="an image of Prebake that the Engine has")
    parser.add_argument("--runs", type=flags.positive_int, default=3)
    arguments = parser.parse_args()
    for rate in arguments.rates:
        with shaped_link(rate, silent) as link:
            print(f"{format_network(rate):>9}: {format_network(link.achieved):>9} of payload")
    if arguments.image:
        for rate in arguments.rates:
            print(f"{format_network(rate):>9}: {time_starts(arguments.image, rate, arguments.runs)}", flush=True)


def time_starts(image: str, rate: int, runs: int) -> str:
    """Medians, as text."""
    pulls, answers = list[float](), list[float]()
    with absent_launcher(find_engine(), (image,), rate, log=silent) as launcher:
        ((_, warmup),) = read_warmups(launcher, image).items()
        for _ in range(runs):
            with launcher.start(image) as server:
                answers.append(time_first_request(server, warmup, image).ttfi)
                pulls.append(server.pulled)
        size = launcher.size(image)
    return f"{size / 1e6:.1f} MB pulled in {median(pulls):.2f} s, first answer after {median(answers):.2f} s ({runs} starts)"


if __name__ == "__main__":
    main()
