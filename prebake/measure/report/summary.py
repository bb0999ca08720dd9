"""A build report as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.io.byte_sizes import format_bytes
from prebake.io.terminal import Screen
from prebake.measure.report.waterfall import lay_out_report
from prebake.measure.report.waterfall_text import draw_waterfall


def report_text(report: Mapping[str, Any], screen: Screen) -> str:
    """Which layers were built or reused and why, and how the image starts."""
    lines = [
        f"image   {report['image']}",
        f"digest  {report['digest']}",
        f"size    {format_bytes(report['size'])} unpacked",
        "",
        *(
            f"  {format_bytes(layer['size']):>10}  {layer['digest'][7:19]}  {layer['status']:8}{layer['name']}: {layer['reason']}"
            for layer in report["layers"]
        ),
    ]
    lines += [_reduced(name, each) for name, each in report.get("components", {}).items() if "weights" in each]
    if images := sorted({name for names in report["shared"]["layers"].values() for name in names}):
        lines.append(f"shared  {format_bytes(report['shared']['bytes'])} of the model with {', '.join(images)}")
    lines += [f"sent    {format_bytes(each['bytes'])} to {name}" for name, each in report["outputs"].items()]
    lines += [f"pushed  {each['name']}" for name, each in report["outputs"].items() if name.startswith("registry:")]
    lines += [
        f"not taken by {name}: {what} ({why})"
        for name, each in report["outputs"].items()
        for what, why in each.get("refused", {}).items()
    ]
    lines += _not_proved(report.get("gpu", {}))
    if "starts" not in report:
        if "gpu" in report:
            return "\n".join(lines)
        return "\n".join([*lines, "", "not started: only an image in the Engine can be"])
    if not report["starts"]:
        difference = f"{report['answer_difference']:.1e}"
        return "\n".join([*lines, "", f"started once, not timed: the answer is {difference} from the reference"])
    answered = "all had answered" if "models" in report else "first answer"
    lines += [
        "",
        f"ready after {report['ready_seconds']:.2f} s, {answered} after {report['ttfi_seconds']:.2f} s "
        f"(floor {report['floor_seconds']:.2f} s; the answer is {report['answer_difference']:.1e} from the reference)",
    ]
    lines += [
        f"  {name}: ready after {model['ready_seconds']:.2f} s, first answer after {model['ttfi_seconds']:.2f} s, "
        f"{model['answer_difference']:.1e} from the reference"
        for name, model in report.get("models", {}).items()
    ]
    return "\n".join([*lines, "", *draw_waterfall(lay_out_report(report), screen)])


def _not_proved(gpu: Mapping[str, Any]) -> list[str]:
    """The lines on an image for a GPU that was not tested on one."""
    if gpu.get("verified", True):
        return []
    how = f"was not started: {gpu['not_started']}" if "not_started" in gpu else "answered by the CPU alone"
    return ["", f"not checked on a GPU, as there is none ({gpu['unavailable']}); it {how}"]


def _reduced(name: str, component: Mapping[str, Any]) -> str:
    """What a component's reduced precision saves in bytes, and its error."""
    weights = component["weights"]
    worst = max((each["relative_error"] for each in component["outputs"].values()), default=0.0)
    done, left = (sum(weights[kind].values()) for kind in ("quantized", "left"))
    return (
        f"{component['precision']:8}{name}: {format_bytes(weights['bytes_after'])} of weights instead of"
        f" {format_bytes(weights['bytes_before'])}, relative error {worst:.2g} (bound {component['bound']:g})"
        + (f", {done} operators quantized and {left} left" if done else "")
    )
