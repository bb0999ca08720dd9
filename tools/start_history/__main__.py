"""``python -m tools.start_history RESULTS HISTORY``: add the results of ``prebake bench`` below RESULTS to the folder HISTORY.

Prints the table of this run as Markdown. The results are ``NAME.json`` files of ``prebake bench NAME``, in any folders.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from tools.start_history.history import Run, add_run, read_history, read_results, write_history
from tools.start_history.page import draw_page
from tools.start_history.table import draw_table


def main(words: list[str]) -> int:
    if len(words) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    results, folder = map(Path, words)
    measured = read_results(results)
    if not measured:
        print(f"There is no result of `prebake bench` below {results}.", file=sys.stderr)
        return 1
    run = Run(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), os.environ.get("GITHUB_SHA", ""), measured)
    runs = add_run(read_history(folder / "history.json"), run)
    folder.mkdir(parents=True, exist_ok=True)
    write_history(folder / "history.json", runs)
    (folder / "index.html").write_text(draw_page(runs), encoding="utf-8")
    print(draw_table(run, runs[-2] if len(runs) > 1 else None))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
