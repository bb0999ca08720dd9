"""The image compared with the naive one: a table, ``build/bench/<model>.json`` and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prebake.docker.connection import Connection, find_engine
from prebake.errors import PrebakeError
from prebake.io.atomic_write import write_text
from prebake.io.log import Log
from prebake.measure.bench.bench import format_table, run_bench
from prebake.measure.gate.errors import LimitExceeded
from prebake.measure.report.report_files import write_document
from prebake.measure.report.start_picture import draw_start
from prebake.spec.project import read_spec
from prebake.workflow.benchmark.page_cache import prepare_start
from prebake.workflow.build import build_image
from prebake.workflow.requests import BuildRequest
from prebake.workflow.start_check.gpu import find_gpu
from prebake.workflow.start_check.launcher import EngineLauncher


class SeveralModels(PrebakeError):
    """``bench`` or ``demo`` was asked for an image of several models, which has no naive image and no single
    request to compare by. ``bench --baseline`` compares such images."""

    exit_code = 47


def require_one_model(root: Path, model: str) -> None:
    """Raises SeveralModels."""
    if models := read_spec(root, model).models:
        flags = " or ".join(f"`--model {name}`" for name in models)
        raise SeveralModels(
            f"{model} has several models ({', '.join(models)}), and there is no naive image of them together.",
            next_action=f"pass {flags}; the build's report has the first answer of each model in the image of all",
        )


def bench_image(request: BuildRequest, runs: int, state: str, log: Log) -> tuple[str, Mapping[str, Any]]:
    """Build both images, and start each ``runs`` times, alternating. Returns the table and the written document."""
    require_one_model(request.root, request.model)
    before = prepare_start(state)
    report = build_image(request, log)
    image = str(report["image"])
    launcher = find_launcher(request, image, find_engine())
    bench = run_bench(launcher, image, f"{image}-naive", runs=runs, log=log, before=before, cache=state)
    document = bench.document()
    folder = request.root / "build" / "bench"
    name = f"{request.model}-{request.size.lower()}" if request.size else request.model
    write_document(folder / f"{name}.json", document)
    write_text(folder / f"{name}.svg", draw_start(document))
    return format_table(bench), document


def require_bounds(document: Mapping[str, Any]) -> None:
    """Raises LimitExceeded if the whole confidence interval lies below a bound, so that noise alone fails no check."""
    missed = [bound for bound in document["bounds"] if bound["state"] == "missed"]
    if missed:
        lines = (f"  {bound['name']}: {bound['ratio']:.2f} times, at least {bound['at_least']:g}" for bound in missed)
        raise LimitExceeded(
            "\n".join(["Compared with the naive image, the image is slower than its bounds allow:", *lines]),
            next_action="GET /startup and the report show the time of each phase of a start; docs/concepts/startup.md explains"
            " what each step costs",
        )


def find_launcher(request: BuildRequest, image: str, connection: Connection) -> EngineLauncher:
    """Raises NoGpu if the Engine has no GPU: a measurement on a CPU says nothing about an image for a GPU."""
    device = find_gpu(connection, request.options.target, image)
    device.require("A benchmark")
    return device.launcher(connection)
