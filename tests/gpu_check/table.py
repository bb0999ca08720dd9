"""The figures as docs/measurements/gpu.md has them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.gpu_check.findings import Finding
from tests.gpu_check.starts import PHASES, Start

FIRST, LAST = "<!-- measured -->", "<!-- /measured -->"


def describe(device: str) -> str:
    """The machine in words."""
    if device == "cuda":
        own = torch.cuda.get_device_properties(0)
        return f"{own.name}, {own.total_memory / 1e9:.0f} GB; torch {torch.__version__}, CUDA {torch.version.cuda}"
    return f"no GPU: a CPU, {platform.machine()}, {torch.get_num_threads()} threads; torch {torch.__version__}"


def render(device: str, starts: Sequence[Start], findings: Sequence[Finding], runs: int) -> str:
    """Markdown: the machine, phases by size, and what held."""
    lines = [f"Machine: {describe(device)}. Medians of {runs} fresh processes, seconds, page cache warm.", ""]
    if starts:
        lines += ["| weights, bf16 | " + " | ".join(PHASES) + " | first answer | floor | over the floor |"]
        lines += ["|---" * (len(PHASES) + 4) + "|"]
        for each in starts:
            cells = [f"{each.gigabytes:g} GB", *(f"{each.phases[name]:.3f}" for name in PHASES)]
            cells += [f"{each.total:.2f}", f"{each.floor:.2f}", f"{each.total / each.floor:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, "```", *map(str, findings), "```"])


def write(page: Path, text: str) -> None:
    """In the place of what stood between the marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(FIRST)
    _, _, after = rest.partition(LAST)
    page.write_text(f"{before}{FIRST}\n{text}\n{LAST}{after}", encoding="utf-8")
