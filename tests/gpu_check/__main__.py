"""``make gpu-check``: what can be said of a start only where there is a GPU, without Docker.

Facts and keys, what is compiled for the device and the ladder over it, loaders, what is resident, and starts with weights of
several sizes against the floor. ``--device cpu`` runs every part on a CPU: its figures say nothing of a GPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.gpu_check import table
from tests.gpu_check.checkpoint import write_checkpoint
from tests.gpu_check.device import create_context, measure_bandwidth
from tests.gpu_check.facts import check_facts
from tests.gpu_check.findings import Finding
from tests.gpu_check.starts import Start, check_loaders, judge, measure_start
from tests.support.repository import ROOT

NO_DEVICE = 69
"""The exit code where there is no GPU to check (EX_UNAVAILABLE of sysexits.h); 1: a finding was missed."""
PARTS = ("facts", "compiled", "loaders", "starts")
PAGE = ROOT / "docs/measurements/gpu.md"


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_options(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu-check: torch finds no CUDA device here, so nothing was checked", file=sys.stderr)
        return NO_DEVICE
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        findings, starts = run(options, Path(options.folder or scratch))
    text = table.render(options.device, starts, findings, options.runs)
    print(text)
    if options.write:
        table.write(options.write, text)
    return 1 if any(finding.held is False for finding in findings) else 0


def run(options: argparse.Namespace, folder: Path) -> tuple[list[Finding], list[Start]]:
    device, findings, starts = options.device, list[Finding](), list[Start]()
    if "facts" in options.parts:
        findings += check_facts(device)
    if "compiled" in options.parts:
        findings += compiled(folder, device)
    create_context(device)
    bandwidth = measure_bandwidth(device)
    findings.append(Finding("host to device", None, f"{bandwidth / 1e9:.2f} GB/s from pinned memory"))
    for number, gigabytes in enumerate(options.sizes if {"loaders", "starts"} & set(options.parts) else ()):
        checkpoint = write_checkpoint(folder, gigabytes)
        if "loaders" in options.parts and number == 0:
            findings += check_loaders(checkpoint, device)
        if "starts" in options.parts:
            starts.append(measure_start(checkpoint, gigabytes, device, bandwidth, options.runs))
            findings += judge(starts[-1], device)
    return findings, starts


def compiled(folder: Path, device: str) -> list[Finding]:
    """What the compile stage imports besides torch need not be here."""
    try:
        from tests.gpu_check.compiled import check_compiled
    except ModuleNotFoundError as missing:
        return [Finding("compiled", None, f"not checked, as {missing.name} is not installed")]
    with tempfile.TemporaryDirectory(prefix="compiled-", dir=folder) as own:
        return list(check_compiled(Path(own), device))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu_check", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--sizes", type=float, nargs="+", default=[1.0, 4.0, 10.0], metavar="GB", help="of weights")
    parser.add_argument("--runs", type=int, default=3, help="fresh processes of each size")
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--folder", type=Path, help="keep the weights here; else they are written anew")
    parser.add_argument(
        "--write", type=Path, nargs="?", const=PAGE, help="put the figures into docs/measurements/gpu.md, or this file"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
