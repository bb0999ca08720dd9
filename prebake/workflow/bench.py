"""``prebake bench``: our image against the naive one; the table, ``build/bench/<model>.json`` and a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prebake.engine.connection import find_engine
from prebake.errors import PrebakeError
from prebake.measure.bench import run_bench, table
from prebake.measure.pair import run_pair
from prebake.measure.picture import draw_start
from prebake.measure.report import write_document, write_text
from prebake.spec.project import read_spec
from prebake.workflow.build import BuildOrder, build_image
from prebake.workflow.device import find_device
from prebake.workflow.launching import EngineLauncher
from prebake.workflow.steps import Tell

DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class CannotDropCache(PrebakeError):
    """The page cache can only be dropped by root, on Linux."""

    exit_code = 43


class BoundMissed(PrebakeError):
    """A benchmark that was asked to check its bounds found one missed."""

    exit_code = 46


class SeveralModels(PrebakeError):
    """An image of several models has no naive one, and no one request that it could be compared by."""

    exit_code = 47


def require_one_model(root: Path, model: str) -> None:
    """Raises SeveralModels."""
    if models := read_spec(root, model).models:
        flags = " or ".join(f"`--model {name}`" for name in models)
        raise SeveralModels(
            f"{model} has several models ({', '.join(models)}), and there is no naive image of them together.",
            next_action=f"say {flags}; the build's report has each one's first answer in the image of all",
        )


def bench_image(order: BuildOrder, runs: int, cache: str, tell: Tell) -> tuple[str, Mapping[str, Any]]:
    """Build both images, start each ``runs`` times in turn; the table, and the document that was written."""
    require_one_model(order.root, order.model)
    before = _before_each(cache)
    report = build_image(order, tell)
    image = str(report["image"])
    launcher = _launcher(order, image)
    bench = run_bench(launcher, image, f"{image}-naive", runs=runs, tell=tell, before=before, cache=cache)
    document = bench.document()
    folder = order.root / "build" / "bench"
    name = f"{order.model}-{order.size.lower()}" if order.size else order.model
    write_document(folder / f"{name}.json", document)
    write_text(
        folder / f"{name}.svg",
        draw_start(
            bench.startups[-1].get("phases", []), bench.ttfi.median, bench.naive_ttfi.median, bench.floor.seconds
        ),
    )
    return table(bench), document


def require_bounds(document: Mapping[str, Any]) -> None:
    """Raises BoundMissed where a bound's whole interval lies below it: noise alone fails no check."""
    missed = [bound for bound in document["bounds"] if bound["state"] == "missed"]
    if missed:
        lines = (f"  {each['name']}: {each['ratio']:.2f} times, at least {each['at_least']:g}" for each in missed)
        other = document.get("against", "the naive one")
        raise BoundMissed(
            "\n".join([f"The image is slower against {other} than it should be:", *lines]),
            next_action="GET /startup and the report's phases say where a start goes; docs/startup.md what each step costs",
        )


def compare_images(order: BuildOrder, against: str, runs: int, cache: str, tell: Tell) -> tuple[str, Mapping[str, Any]]:
    """Build the image and start it in turn with ``against``, a tag that the Engine has."""
    require_one_model(order.root, order.model)
    before = _before_each(cache)
    report = build_image(order, tell)
    image = str(report["image"])
    pair = run_pair(_launcher(order, image), image, against, runs=runs, tell=tell, before=before, cache=cache)
    write_document(order.root / "build" / "bench" / f"{order.model}-against.json", pair.document())
    return pair.table(), pair.document()


def _launcher(order: BuildOrder, image: str) -> EngineLauncher:
    """Raises NoGpu: what a CPU does in a GPU's place is no figure of the image."""
    connection = find_engine()
    device = find_device(connection, order.options.target, image)
    device.require("A benchmark")
    return device.launcher(connection)


def _before_each(cache: str) -> Callable[[], None]:
    """What is called before each start. Raises CannotDropCache."""
    if cache == "warm":
        return _nothing
    if not os.access(DROP_CACHES, os.W_OK):
        raise CannotDropCache(
            "--cache cold drops the page cache, which only root may.", next_action="run it as root, or leave it out"
        )
    return drop_page_cache


def drop_page_cache() -> None:
    os.sync()
    DROP_CACHES.write_text("3\n")


def _nothing() -> None:
    """The page cache stays warm."""
