"""A report for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.sizes import show_bytes


def report_text(report: Mapping[str, Any]) -> str:
    """What was built, what was reused and why, and how it starts."""
    lines = [
        f"image   {report['image']}",
        f"digest  {report['digest']}",
        f"size    {show_bytes(report['size'])} unpacked",
        "",
        *(
            f"  {show_bytes(layer['size']):>10}  {layer['digest'][7:19]}  {layer['status']:8}{layer['name']}: {layer['reason']}"
            for layer in report["layers"]
        ),
    ]
    lines += [_reduced(name, each) for name, each in report.get("components", {}).items() if "weights" in each]
    if images := sorted({name for names in report["shared"]["layers"].values() for name in names}):
        lines.append(f"shared  {show_bytes(report['shared']['bytes'])} of the model with {', '.join(images)}")
    lines += [f"sent    {show_bytes(each['bytes'])} to {name}" for name, each in report["outputs"].items()]
    lines += [
        f"not taken by {name}: {what} ({why})"
        for name, each in report["outputs"].items()
        for what, why in each.get("refused", {}).items()
    ]
    lines += _not_proved(report.get("gpu", {}))
    if "ready_seconds" not in report:
        if "gpu" in report:
            return "\n".join(lines)
        return "\n".join([*lines, "", "not started: only an image in the Engine can be"])
    answered = "all had answered" if "models" in report else "first answer"
    lines += [
        "",
        f"ready after {report['ready_seconds']:.2f} s, {answered} after {report['ttfi_seconds']:.2f} s "
        f"(floor {report['floor_seconds']:.2f} s; the answer is {report['difference']:.1e} from the reference)",
    ]
    lines += [
        f"  {name}: ready after {model['ready_seconds']:.2f} s, first answer after {model['ttfi_seconds']:.2f} s, "
        f"{model['difference']:.1e} from the reference"
        for name, model in report.get("models", {}).items()
    ]
    lines += [f"  {phase['start']:6.2f} s  {_seconds(phase)}  {phase['name']}" for phase in report["phases"]]
    return "\n".join(lines)


def _not_proved(gpu: Mapping[str, Any]) -> list[str]:
    """Of an image for a GPU that met none."""
    if gpu.get("proved", True):
        return []
    how = f"was not started: {gpu['unstarted']}" if "unstarted" in gpu else "answered by the CPU alone"
    return ["", f"not proved on a GPU, as there is none ({gpu['said']}); it {how}"]


def _reduced(name: str, component: Mapping[str, Any]) -> str:
    """What a component's precision saves, and what it costs."""
    weights = component["weights"]
    worst = max((each["relative_error"] for each in component["outputs"].values()), default=0.0)
    done, left = (sum(weights[kind].values()) for kind in ("quantised", "left"))
    return (
        f"{component['precision']:8}{name}: {show_bytes(weights['bytes_after'])} of weights instead of"
        f" {show_bytes(weights['bytes_before'])}, relative error {worst:.2g} (bound {component['bound']:g})"
        + (f", {done} operators quantised and {left} left" if done else "")
    )


def _seconds(phase: Mapping[str, Any]) -> str:
    return "   …    " if phase.get("seconds") is None else f"{phase['seconds']:6.2f} s"
