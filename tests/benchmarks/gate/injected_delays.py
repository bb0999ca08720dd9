"""``python -m tests.benchmarks.gate.injected_delays``: what the gate says of a start that was made slower on purpose.

foley's sample is built as it is, and then with a delay, or with one more import, at the end of its ``model.py``. Each is gated
against the image as it is, by the real command.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from prebake.docker.connection import Connection, ensure_engine
from tests.support.commands.built_images import build_image, image_name
from tests.support.commands.projects import Built, clone, reach

CHANGES = {
    "300 ms": "\n\nimport time\n\ntime.sleep(0.3)\n",
    "100 ms": "\n\nimport time\n\ntime.sleep(0.1)\n",
    "`import wave`": "\n\nimport wave\n",
    "none": "\n\n# the same\n",
}


def gate(engine: Connection, folder: Path, built: Built, addition: str, pairs: int) -> dict[str, Any]:
    """The gate's document of the image with ``addition`` against the one without."""
    project = clone(folder, built.model, variables=reach(engine))
    code = project.root / "images" / built.model / "model.py"
    code.write_text(code.read_text() + addition)
    with image_name(engine) as tag:
        words = ("--tag", tag, "--baseline", built.tag, "--max-pairs", str(pairs), "--json")
        ended = project.run("bench", built.model, *words)
    assert ended.code in (0, 46, 69), ended.stderr
    return dict(json.loads(ended.stdout))


def row(change: str, document: dict[str, Any]) -> str:
    low, high = document["ratio_interval_95"]
    interval = "" if low is None else f" ({low:.2f} to {high:.2f})"
    moved = [phase for phase in document["phases"] if phase["moved"]]
    phases = "; ".join(
        f"{phase['name']} {phase['difference_seconds']:+.3f} s "
        f"({phase['interval_95'][0]:+.3f} to {phase['interval_95'][1]:+.3f})"
        for phase in moved
    )
    modules = [each["name"] for each in document["counters"]["changes"] if each["what"] == "module"]
    cells = (
        change,
        document["verdict"],
        document["pairs"],
        f"{document['ratio']:.2f}{interval}",
        phases,
        ", ".join(modules),
    )
    return f"| {' | '.join(str(cell) or 'none' for cell in cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="foley")
    parser.add_argument(
        "--change",
        action="append",
        choices=list(CHANGES),
        help="make this row only; may be repeated (default: all rows)",
    )
    parser.add_argument("--pairs", type=int, default=20, help="the most pairs (default: 20)")
    options = parser.parse_args()
    engine = ensure_engine()
    print("| change | verdict | pairs | first answer, times | phases that moved | modules |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, build_image(engine, Path(name) / "before", options.model) as built:
        for number, change in enumerate(options.change or CHANGES):
            document = gate(engine, Path(name) / str(number), built, CHANGES[change], options.pairs)
            print(row(change, document), flush=True)


if __name__ == "__main__":
    main()
