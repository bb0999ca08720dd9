"""Every test, in two lanes side by side: ``python -m tests.whole [PYTEST'S OPTIONS]``; `make test` runs it.

Those that need the Engine wait for it much of the time; the others compute. The first print as they go, what the others printed
comes after; at the very end, each test of both that failed has its line, as a log is often cut down to that.

Those that compute have a process for each folder: what one loads into its own, libraries that are compiled there and runtimes
of several makers, is not there for all that come later, and a crash tells where it came from.

A process that a signal ends is run once more, and the end of the log says so. Seldom, Python's garbage collection crashes inside
``torch.onnx.export``, in a test that passes when it is run again. The cause is not known.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.etree import ElementTree as ET

TESTS = Path(__file__).parent
NOTHING = 5
"""pytest's exit status where no test was chosen."""


@dataclass
class Lane:
    """Runs of pytest, one after the other; ``told`` is where they print, None for this process's own."""

    runs: Sequence[Sequence[str]]
    folder: Path
    told: IO[str] | None = None
    statuses: list[int] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    ended: bool = False
    crashes: list[str] = field(default_factory=list)

    def work(self) -> None:
        for number, options in enumerate(self.runs):
            if self.ended:
                return
            status = self._run(number, options)
            if status < 0 and not self.ended:
                self.crashes.append(f"pytest {' '.join(options)}: ended by signal {-status}, and was run once more")
                status = self._run(number, options)
            self.statuses.append(status)

    def _run(self, number: int, options: Sequence[str]) -> int:
        command = [sys.executable, "-m", "pytest", *options, f"--junitxml={self._result(number)}"]
        self.process = subprocess.Popen(command, stdout=self.told, stderr=self.told and subprocess.STDOUT, text=True)
        return self.process.wait()

    def end(self) -> None:
        """No further run, and not this one."""
        self.ended = True
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def tell(self) -> None:
        for line in self.crashes:
            print(line)
        for number, status in enumerate(self.statuses):
            if status not in (0, NOTHING):
                print(f"pytest {' '.join(self.runs[number])}: exit status {status}")
                for line in find_failed(self._result(number)):
                    print(line)

    def _result(self, number: int) -> Path:
        return self.folder / f"{number}.xml"


def main(options: list[str]) -> int:
    """The worst of all exit statuses; an interrupt ends both lanes."""
    with tempfile.TemporaryDirectory(prefix="whole-") as folder, tempfile.TemporaryFile("w+") as told:
        for name in ("engine", "others"):
            Path(folder, name).mkdir()
        engine = Lane([[*options, "-m", "engine"]], Path(folder, "engine"))
        own = [[*options, "-m", "not engine", *group] for group in find_groups()]
        others = Lane(own, Path(folder, "others"), told)
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(others.work)
            try:
                engine.work()
                print("The tests that need no Engine:", flush=True)
                beside.result()
            finally:
                engine.end()
                others.end()
                wait([beside])
                told.seek(0)
                sys.stdout.write(told.read())
        for lane in (engine, others):
            lane.tell()
        statuses = [abs(status) for status in (*engine.statuses, *others.statuses)]
    if all(status == NOTHING for status in statuses):
        return NOTHING
    return max(status for status in statuses if status != NOTHING)


def find_groups() -> list[list[str]]:
    """What each process runs: a folder of ``tests/`` that has tests, a room of ``unit``, or the files beside these rooms."""
    places = [path.relative_to(TESTS.parent) for path in sorted(TESTS.rglob("test_*.py"))]
    unit = TESTS.name + "/unit"
    beside = [str(place) for place in places if place.parent.as_posix() == unit]
    depths = {place: 3 if place.is_relative_to(unit) else 2 for place in places if str(place) not in beside}
    return [*([each] for each in sorted({"/".join(place.parts[:depth]) for place, depth in depths.items()})), beside]


def find_failed(result: Path) -> Iterator[str]:
    """A line for each test that failed, in the order in which they ran; none where pytest got to no result."""
    if not result.exists():
        return
    for case in ET.parse(result).iter("testcase"):
        for outcome in (*case.iter("failure"), *case.iter("error")):
            said = (outcome.get("message") or "").strip().splitlines()
            yield f"  {outcome.tag}: {case.get('classname')}::{case.get('name')}: {said[0] if said else ''}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
