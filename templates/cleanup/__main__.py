"""Clean the folder that pip installed into, and prove that every package still imports.

    python3 /cleanup FOLDER [--user NUMBER] [--environment NAME=VALUE …] [--drop GLOB …] [--system PACKAGE …]

1. Every top-level module of every installed distribution is imported, as the image's user and with the image's environment.
   If a system library is missing, the build ends here with 35.
2. Files that no import needs are moved aside (``candidates.py`` has the rule), and shared libraries are slimmed.
3. Everything is imported again. If a module or one of its names is lost, files are put back until it imports.

Only the files decide what stays, never the time or the machine, so two builds give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import libraries
from candidates import find_candidates
from distributions import find_distributions
from shelf import Shelf
from slim import slim_folder
from trials import Outcome, Trial

LIBRARY_MISSING = 35


def main(arguments: list[str]) -> int:
    asked = _parse(arguments)
    tree = Path(asked.folder).resolve()
    modules = [module for each in find_distributions(tree) for module in each.modules]
    environment = dict(pair.split("=", 1) for pair in asked.environment)
    with (
        tempfile.TemporaryDirectory() as bytecode,
        tempfile.TemporaryDirectory(prefix=".aside-", dir=tree.parent) as aside,
    ):
        trial = Trial(tree, environment, Path(bytecode), asked.user)
        before = trial.run(modules)
        if text := libraries.describe_missing(tree, before, asked.system):
            print(text)
            return LIBRARY_MISSING
        shelf = Shelf(tree, Path(aside))
        for path in find_candidates(tree, asked.drop):
            shelf.take(path)
        slim_folder(tree, shelf)
        lost = _restore(trial, before, shelf)
    for module, why in sorted(lost.items()):
        print(f"error: {module} imported before the clean-up and does not after it: {why}")
    for module, outcome in sorted(before.items()):
        if outcome.error:
            print(f"note: {module} does not import in this image: {outcome.error}")
    return 1 if lost else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cleanup")
    parser.add_argument("folder")
    parser.add_argument("--user", type=int)
    parser.add_argument("--environment", nargs="*", default=[])
    parser.add_argument("--drop", nargs="*", default=[])
    parser.add_argument("--system", nargs="*", default=[])
    return parser.parse_args(arguments)


def _restore(trial: Trial, before: dict[str, Outcome], shelf: Shelf) -> dict[str, str]:
    """Put back what the lost modules need: first from their own packages, then everything. What is still lost, and why."""
    lost = _lost(before, trial.run([module for module, outcome in before.items() if not outcome.error]))
    for everything in (False, True):
        if not lost:
            break
        own = {module.partition(".")[0] for module in lost}
        for path in shelf.put_back_all() if everything else shelf.put_back_of(own):
            print(f"kept: {path}")
        lost = _lost({module: before[module] for module in lost}, trial.run(sorted(lost)))
    return lost


def _lost(before: dict[str, Outcome], after: dict[str, Outcome]) -> dict[str, str]:
    """The modules of ``after`` that import no more, or lack names that they had."""
    lost = {}
    for module, outcome in after.items():
        missing = sorted(set(before[module].names) - set(outcome.names))
        if outcome.error or missing:
            lost[module] = outcome.error or f"it lacks {', '.join(missing[:8])}"
    return lost


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
