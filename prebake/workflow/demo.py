"""``prebake demo``: build both images, send a real request, write the answer, show the measured start beside the naive one."""

from __future__ import annotations

import importlib.util
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from prebake.engine.connection import find_engine
from prebake.errors import AnswerDiffers
from prebake.measure import client
from prebake.measure.picture import draw_start
from prebake.measure.report import write_text
from prebake.measure.starting import DEADLINE, time_first_answer
from prebake.measure.summary import report_text
from prebake.measure.warmup import read_warmup
from prebake.workflow.bench import require_one_model
from prebake.workflow.build import BuildOrder, build_image
from prebake.workflow.device import find_device
from prebake.workflow.launching import EngineLauncher
from prebake.workflow.steps import Tell

STARTS = 3
EXTENSIONS = {"audio/wav": ".wav"}  # Python 3.11 knows it by an older name only


def show_demo(order: BuildOrder, tell: Tell) -> str:
    """The whole demonstration; what is to be shown of it."""
    require_one_model(order.root, order.model)
    report = build_image(order, tell)
    image, folder = str(report["image"]), order.root / "build" / order.model
    connection = find_engine()
    device = find_device(connection, order.options.target, image)
    device.require("The demonstration")
    launcher = device.launcher(connection)
    answer = _ask(launcher, image, order, folder / "demo", tell)
    naive = _naive_ttfi(launcher, f"{image}-naive", image, tell)
    picture = folder / "start.svg"
    write_text(picture, draw_start(report["phases"], report["ttfi_seconds"], naive, report["floor_seconds"]))
    return "\n".join(
        [report_text(report), "", *_comparison(report, naive), f"answer   {answer}", f"picture  {picture}"]
    )


def _ask(launcher: EngineLauncher, image: str, order: BuildOrder, folder: Path, tell: Tell) -> Path:
    """Send the image's own demonstration request, or its warm-up request where it has none; the answer's path."""
    fields = _demo_fields(order, folder)
    request = client.Request(fields) if fields else read_warmup(launcher, image).request
    with launcher.start(image) as container:
        client.wait_until(container, client.is_live, DEADLINE, "live")
        tell(
            "demo: "
            + ", ".join(
                f"{name} {value!r}" if isinstance(value, str) else f"{name} {value[0]}"
                for name, value in request.fields.items()
            )
        )
        reply = client.post(container.port, request)
    if reply.status != 200:
        raise AnswerDiffers(
            f"The demonstration was answered with {reply.status}: {reply.body[:300]!r}",
            next_action="read images/NAME/demo.py",
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"answer{EXTENSIONS.get(reply.media_type) or mimetypes.guess_extension(reply.media_type) or '.bin'}"
    path.write_bytes(reply.body)
    return path


def _demo_fields(order: BuildOrder, folder: Path) -> Mapping[str, str | tuple[str, bytes]]:
    """``images/<name>/demo.py`` writes its files into a folder and names the form's fields."""
    script = order.root / "images" / order.model / "demo.py"
    if not script.is_file():
        return {}
    spec = importlib.util.spec_from_file_location(f"demo_{order.model}", script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{script} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder.mkdir(parents=True, exist_ok=True)
    fields: Mapping[str, str | Path] = module.write_request(folder)
    return {
        name: (value.name, value.read_bytes()) if isinstance(value, Path) else value for name, value in fields.items()
    }


def _naive_ttfi(launcher: EngineLauncher, naive: str, image: str, tell: Tell) -> float:
    warmup = read_warmup(launcher, image)
    tell(f"naive: {STARTS} starts of {naive}, after one that is not counted")
    time_first_answer(launcher, naive, warmup, steady_runs=0)
    return median(time_first_answer(launcher, naive, warmup, steady_runs=0).ttfi for _ in range(STARTS))


def _comparison(report: Mapping[str, Any], naive: float) -> list[str]:
    ours = report["ttfi_seconds"]
    return [
        f"first answer of the naive image, same weights and request: {naive:.2f} s; ours {ours:.2f} s, "
        f"{naive / ours:.1f} times sooner",
        f"(medians of {STARTS} starts, page cache warm; `make bench` measures properly)",
        "",
    ]
