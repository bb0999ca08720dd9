"""Every test, as two pytest processes side by side: ``python -m tests.whole [PYTEST'S OPTIONS]``; `make test` runs it.

Those that need the Engine wait for it much of the time; the others compute. The first print as they go, what the others printed
comes after.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile


def main(options: list[str]) -> int:
    """The worse of both exit statuses; an interrupt ends both."""
    command = [sys.executable, "-m", "pytest", *options]
    with tempfile.TemporaryFile("w+") as told:
        others = subprocess.Popen([*command, "-m", "not engine"], stdout=told, stderr=subprocess.STDOUT)
        try:
            with_engine = subprocess.run([*command, "-m", "engine"], check=False).returncode
            print("The tests that need no Engine:", flush=True)
            without = others.wait()
        except KeyboardInterrupt:
            without = others.wait()
            raise
        finally:
            if others.poll() is None:
                others.terminate()
                others.wait()
            told.seek(0)
            sys.stdout.write(told.read())
    return max(abs(with_engine), abs(without))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
