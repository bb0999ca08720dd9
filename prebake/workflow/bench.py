"""``prebake bench``: compare the image with the naive one; writes a table, ``build/bench/<model>.json`` and a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prebake.docker.connection import find_engine
from prebake.errors import PrebakeError
from prebake.io.atomic_write import write_text
from prebake.io.log import Log
from prebake.measure.bench.bench import format_table, run_bench
from prebake.measure.bench.pair import run_pair
from prebake.measure.report.report_files import write_document
from prebake.measure.report.start_picture import draw_start
from prebake.spec.project import read_spec
from prebake.workflow.build import build_image
from prebake.workflow.requests import BuildRequest
from prebake.workflow.start_check.gpu import find_gpu
from prebake.workflow.start_check.launcher import EngineLauncher

DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class CannotDropCache(PrebakeError):
    """``bench --cache cold`` cannot drop the page cache: that takes root, and Linux."""

    exit_code = 43


class BoundMissed(PrebakeError):
    """``bench --check`` found that the image is too slow: the whole 95% interval of a ratio is below its bound. The first
    answer must come five times as fast as the naive image's, and later answers must not be slower. With ``--against
    IMAGE``, a start may be at most 5% slower than that image's."""

    exit_code = 46


class SeveralModels(PrebakeError):
    """``bench`` or ``demo`` was asked for an image of several models, which has no naive image and no single
    request to compare by."""

    exit_code = 47


def require_one_model(root: Path, model: str) -> None:
    """Raises SeveralModels."""
    if models := read_spec(root, model).models:
        flags = " or ".join(f"`--model {name}`" for name in models)
        raise SeveralModels(
            f"{model} has several models ({', '.join(models)}), and there is no naive image of them together.",
            next_action=f"pass {flags}; the build's report has the first answer of each model in the image of all",
        )


def bench_image(request: BuildRequest, runs: int, cache: str, log: Log) -> tuple[str, Mapping[str, Any]]:
    """Build both images, and start each ``runs`` times, alternating. Returns the table and the written document."""
    require_one_model(request.root, request.model)
    before = _before_each(cache)
    report = build_image(request, log)
    image = str(report["image"])
    launcher = _launcher(request, image)
    bench = run_bench(launcher, image, f"{image}-naive", runs=runs, log=log, before=before, cache=cache)
    document = bench.document()
    folder = request.root / "build" / "bench"
    name = f"{request.model}-{request.size.lower()}" if request.size else request.model
    write_document(folder / f"{name}.json", document)
    write_text(folder / f"{name}.svg", draw_start(document))
    return format_table(bench), document


def require_bounds(document: Mapping[str, Any]) -> None:
    """Raises BoundMissed if the whole confidence interval lies below a bound, so that noise alone fails no check."""
    missed = [bound for bound in document["bounds"] if bound["state"] == "missed"]
    if missed:
        lines = (f"  {bound['name']}: {bound['ratio']:.2f} times, at least {bound['at_least']:g}" for bound in missed)
        other = document.get("against", "the naive image")
        raise BoundMissed(
            "\n".join([f"Compared with {other}, the image is slower than its bounds allow:", *lines]),
            next_action="GET /startup and the report show the time of each phase of a start; docs/concepts/startup.md explains"
            " what each step costs",
        )


def compare_images(
    request: BuildRequest, against: str, runs: int, cache: str, log: Log
) -> tuple[str, Mapping[str, Any]]:
    """Build the image, and start it alternating with ``against``, a tag that the Engine has."""
    require_one_model(request.root, request.model)
    before = _before_each(cache)
    report = build_image(request, log)
    image = str(report["image"])
    pair = run_pair(_launcher(request, image), image, against, runs=runs, log=log, before=before, cache=cache)
    write_document(request.root / "build" / "bench" / f"{request.model}-against.json", pair.document())
    return pair.table(), pair.document()


def _launcher(request: BuildRequest, image: str) -> EngineLauncher:
    """Raises NoGpu if the Engine has no GPU: a measurement on a CPU says nothing about an image for a GPU."""
    connection = find_engine()
    device = find_gpu(connection, request.options.target, image)
    device.require("A benchmark")
    return device.launcher(connection)


def _before_each(cache: str) -> Callable[[], None]:
    """The function to call before each start. Raises CannotDropCache."""
    if cache == "warm":
        return _nothing
    if not os.access(DROP_CACHES, os.W_OK):
        raise CannotDropCache(
            "--cache cold drops the page cache, which only root can do.",
            next_action="run the command as root, or without --cache cold",
        )
    return drop_page_cache


def drop_page_cache() -> None:
    os.sync()
    DROP_CACHES.write_text("3\n")


def _nothing() -> None:
    """Leave the page cache warm."""
