"""Small projects as values: planning needs no disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.spec.lock import Lock, LockedBase, LockedCheckpoint, LockedFile
from prebake.spec.project import Project, read_project
from prebake.spec.reader import parse_image
from prebake.spec.source_file import SourceFile
from tests.support.plans import SPEC
from tests.support.repository import ROOT


def pinned(path: str, size: int, *, ship: bool, digit: str = "1", source: str = "sample") -> LockedFile:
    return LockedFile(path, source, "7", path, size, digit * 64, "MIT", ship)


@pytest.fixture
def project() -> Project:
    files = (
        pinned("net/model.safetensors", 80 << 20, ship=True, digit="a"),
        pinned("net/vocab.txt", 1000, ship=True, digit="b"),
        pinned("old.pth", 5000, ship=False, digit="c"),
    )
    lock = Lock(
        LockedBase("python:3.11-slim-bookworm", "sha256:" + "d" * 64), {"sample": LockedCheckpoint("MIT", files)}
    )
    spec = parse_image(SPEC, "images/tiny/image.yaml")
    return Project(
        root=Path("/nowhere"),
        spec=spec,
        lock=lock,
        serve=(SourceFile("images/tiny/model.py", b"serve"),),
        export=(SourceFile("images/tiny/export.py", b"export"),),
        naive=(SourceFile("images/tiny/naive.py", b"naive"),),
        entrypoints=(SourceFile("entrypoints/serve.py", b"run"),),
        bake=(SourceFile("prebake/bake/stages/export.py", b"bake"),),
        notices=(),
        requirements=dict.fromkeys(
            ("cpu", "cuda", "export", "torch-cpu", "torch-cuda", "cuda-headers"), "onnxruntime==1.31.1 \\\n"
        ),
        templates={
            "naive/serve.py": "server",
            "cleanup/slim.py": "slim",
            "cleanup/wheels.py": "wheels",
            **{
                f"stages/{name}.j2": name
                for name in (
                    "base",
                    "pip",
                    "normalize",
                    "runtime",
                    "export_packages",
                    "compiler",
                    "export",
                    "compile",
                    "image",
                )
            },
        },
    )


@pytest.fixture
def changed() -> Callable[..., Project]:
    """A project with some of its files replaced."""

    def change(project: Project, **parts: object) -> Project:
        return replace(project, **parts)  # type: ignore[arg-type]

    return change


@pytest.fixture
def read() -> Callable[[str], Project]:
    return lambda name: read_project(ROOT, name)
