"""Bake a model into a container image: ``python build.py --model foley``. The same tool as ``prebake``."""

import sys

from prebake.cli import main

if __name__ == "__main__":
    sys.exit(main())
