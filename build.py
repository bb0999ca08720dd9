"""Bake a model into a container image: ``python build.py --model foley``. The same tool as ``prebake``."""

import sys
from typing import NoReturn

from prebake.errors import PackageMissing


def explain_missing(name: str) -> NoReturn:
    """End because a package that Prebake needs is not installed. ``prebake.cli`` cannot print this: it needs the package too."""
    error = PackageMissing(
        f"The Python package {name} is not installed for {sys.executable}.",
        next_action="run `make setup`, and then `.venv/bin/python build.py …`; or install Prebake for this Python",
    )
    print(f"error: {error.message}\n  next: {error.next_action}", file=sys.stderr)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    try:
        from prebake.cli import main
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith(("prebake", "entrypoints")):
            raise
        explain_missing(missing.name)
    sys.exit(main())
