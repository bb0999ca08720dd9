"""``prebake demo``: build both images, send a request, write the answer to a file, and compare the measured starts."""

from __future__ import annotations

import importlib.util
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from prebake.docker.connection import find_engine
from prebake.errors import AnswerDiffers
from prebake.io.atomic_write import write_text
from prebake.io.log import Log
from prebake.io.terminal import Screen
from prebake.measure import client
from prebake.measure.report.start_picture import draw_start
from prebake.measure.report.summary import report_text
from prebake.measure.start import START_TIMEOUT_SECONDS, time_first_answer
from prebake.measure.warmup_request import read_warmup
from prebake.workflow.benchmark.naive import require_one_model
from prebake.workflow.build import build_image
from prebake.workflow.requests import BuildRequest
from prebake.workflow.start_check.gpu import find_gpu
from prebake.workflow.start_check.launcher import EngineLauncher

STARTS = 3
EXTENSIONS = {"audio/wav": ".wav"}  # Python 3.11 knows it by an older name only


def show_demo(build: BuildRequest, log: Log, screen: Screen) -> str:
    """Run the demonstration. Returns the text to print."""
    require_one_model(build.root, build.model)
    report = build_image(build, log)
    image, folder = str(report["image"]), build.root / "build" / build.model
    connection = find_engine()
    device = find_gpu(connection, build.options.target, image)
    device.require("The demonstration")
    launcher = device.launcher(connection)
    answer = _ask(launcher, image, build, folder / "demo", log)
    naive = _naive_ttfi(launcher, f"{image}-naive", image, log)
    picture = folder / "start.svg"
    write_text(picture, draw_start({**report, "naive_ttfi_seconds": naive}))
    return "\n".join(
        [report_text(report, screen), "", *_comparison(report, naive), f"answer   {answer}", f"picture  {picture}"]
    )


def _ask(launcher: EngineLauncher, image: str, build: BuildRequest, folder: Path, log: Log) -> Path:
    """Send the image's demo request, or its warm-up request if it has none. Returns the path of the answer's file."""
    fields = _demo_fields(build, folder)
    request = client.Request(fields) if fields else read_warmup(launcher, image).request
    with launcher.start(image) as container:
        client.wait_until(container, client.is_live, START_TIMEOUT_SECONDS, "live")
        log(
            "demo: "
            + ", ".join(
                f"{name} {value!r}" if isinstance(value, str) else f"{name} {value[0]}"
                for name, value in request.fields.items()
            )
        )
        reply = client.ask(container, request)
    if reply.status != 200:
        raise AnswerDiffers(
            f"The server answered the demo request with status {reply.status}: {reply.body[:300]!r}",
            next_action="read images/NAME/demo.py",
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"answer{EXTENSIONS.get(reply.media_type) or mimetypes.guess_extension(reply.media_type) or '.bin'}"
    path.write_bytes(reply.body)
    return path


def _demo_fields(build: BuildRequest, folder: Path) -> Mapping[str, str | tuple[str, bytes]]:
    """``images/<name>/demo.py`` writes its files into a folder and returns the form's fields."""
    script = build.root / "images" / build.model / "demo.py"
    if not script.is_file():
        return {}
    spec = importlib.util.spec_from_file_location(f"demo_{build.model}", script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{script} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder.mkdir(parents=True, exist_ok=True)
    fields: Mapping[str, str | Path] = module.write_request(folder)
    return {
        name: (value.name, value.read_bytes()) if isinstance(value, Path) else value for name, value in fields.items()
    }


def _naive_ttfi(launcher: EngineLauncher, naive: str, image: str, log: Log) -> float:
    warmup = read_warmup(launcher, image)
    log(f"naive: {STARTS} timed starts of {naive}, after one untimed start")
    time_first_answer(launcher, naive, warmup, steady_runs=0)
    return median(time_first_answer(launcher, naive, warmup, steady_runs=0).ttfi for _ in range(STARTS))


def _comparison(report: Mapping[str, Any], naive: float) -> list[str]:
    ours = report["ttfi_seconds"]
    return [
        f"first answer of the naive image, same weights and request: {naive:.2f} s; ours {ours:.2f} s, "
        f"{naive / ours:.1f} times faster",
        f"(medians of {STARTS} starts, page cache warm; `make bench` measures more starts)",
        "",
    ]
