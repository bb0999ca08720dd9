"""Write every generated file. Files that are already right are left alone."""

from __future__ import annotations

import sys

from tools.reference.pages import PAGES, ROOT


def main() -> None:
    for name, generate in PAGES.items():
        path, text = ROOT / name, generate()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
