"""Clean the folder that pip installed into, and check that every package still imports.

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
from removed_files import RemovedFiles
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
        if missing := libraries.find_missing(tree, before, asked.system):
            print(missing.text())
            return LIBRARY_MISSING
        removed = RemovedFiles(tree, Path(aside))
        for path in find_candidates(tree, asked.drop):
            removed.remove(path)
        slim_folder(tree, removed)
        lost = _restore(trial, before, removed)
    for module, why in sorted(lost.items()):
        print(f"error: {module} could be imported before the clean-up, but not after it: {why}")
    for module, outcome in sorted(before.items()):
        if outcome.error:
            print(f"note: {module} cannot be imported in this image: {outcome.error}")
    return 1 if lost else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cleanup")
    parser.add_argument("folder")
    parser.add_argument("--user", type=int)
    parser.add_argument("--environment", nargs="*", default=[])
    parser.add_argument("--drop", nargs="*", default=[])
    parser.add_argument("--system", nargs="*", default=[])
    return parser.parse_args(arguments)


def _restore(trial: Trial, before: dict[str, Outcome], removed: RemovedFiles) -> dict[str, str]:
    """Put back files that the lost modules need: first those of their own packages, then all. Returns the modules that are still
    lost, with the reason."""
    lost = _lost(before, trial.run([module for module, outcome in before.items() if not outcome.error]))
    for everything in (False, True):
        if not lost:
            break
        own = {module.partition(".")[0] for module in lost}
        for path in removed.put_back_all() if everything else removed.put_back_of(own):
            print(f"kept: {path}")
        lost = _lost({module: before[module] for module in lost}, trial.run(sorted(lost)))
    return lost


def _lost(before: dict[str, Outcome], after: dict[str, Outcome]) -> dict[str, str]:
    """The modules of ``after`` that can no longer be imported, or lack names that they had."""
    lost = {}
    for module, outcome in after.items():
        missing = sorted(set(before[module].names) - set(outcome.names))
        if outcome.error or missing:
            lost[module] = outcome.error or f"it lacks {', '.join(missing[:8])}"
    return lost


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
