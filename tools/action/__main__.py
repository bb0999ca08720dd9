"""Run one step of the action: ``python tools/action STEP``. The steps are listed in ``action.yml``, in their order."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

sys.path[0] = str(
    Path(__file__).resolve().parents[2]
)  # so that the project's own folders cannot stand for this package

STEPS = (
    "check-inputs",
    "plan",
    "check-room",
    "build-image",
    "find-baseline",
    "gate",
    "summary",
    "comment",
    "verdict",
    "push",
    "attested",
)


def main(words: list[str]) -> int:
    if len(words) != 1 or words[0] not in STEPS:
        print(f"usage: python tools/action {'|'.join(STEPS)}", file=sys.stderr)
        return 2
    module = import_module(f"tools.action.{words[0].replace('-', '_')}")
    return int(module.main())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
