"""Every test, as two pytest processes side by side: ``python -m tests.whole [PYTEST'S OPTIONS]``; `make test` runs it.

Those that need the Engine wait for it much of the time; the others compute. The first print as they go, what the others printed
comes after; at the very end, each test of both that failed has its line, as a log is often cut down to that.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

PARTS = ("engine", "not engine")


def main(options: list[str]) -> int:
    """The worse of both exit statuses; an interrupt ends both."""
    with tempfile.TemporaryDirectory(prefix="whole-") as folder, tempfile.TemporaryFile("w+") as told:
        results = [Path(folder, f"{number}.xml") for number in range(len(PARTS))]
        with_engine, others = (
            [sys.executable, "-m", "pytest", *options, "-m", part, f"--junitxml={result}"]
            for part, result in zip(PARTS, results, strict=True)
        )
        beside = subprocess.Popen(others, stdout=told, stderr=subprocess.STDOUT)
        try:
            statuses = [subprocess.run(with_engine, check=False).returncode]
            print("The tests that need no Engine:", flush=True)
            statuses.append(beside.wait())
        except KeyboardInterrupt:
            beside.wait()
            raise
        finally:
            if beside.poll() is None:
                beside.terminate()
                beside.wait()
            told.seek(0)
            sys.stdout.write(told.read())
        for part, status, result in zip(PARTS, statuses, results, strict=True):
            print(f"pytest -m '{part}': exit status {status}")
            for line in _failed(result):
                print(line)
    return max(abs(status) for status in statuses)


def _failed(result: Path) -> Iterator[str]:
    """A line for each test that failed, in the order in which they ran; none where pytest got to no result."""
    if not result.exists():
        return
    for case in ET.parse(result).iter("testcase"):
        for outcome in (*case.iter("failure"), *case.iter("error")):
            said = (outcome.get("message") or "").strip().splitlines()
            yield f"  {outcome.tag}: {case.get('classname')}::{case.get('name')}: {said[0] if said else ''}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
