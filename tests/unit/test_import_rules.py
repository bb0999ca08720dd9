"""The folders tell the flow, and this keeps them to it: an import against it fails here, with its path."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.spec.project import STAGED

ROOT = Path(__file__).parents[2]
STDLIB = set(sys.stdlib_module_names)

# What each room may import of ours; a room may always import itself.
OURS: dict[str, set[str]] = {
    "prebake/errors.py": set(),
    "prebake/process.py": {"prebake.errors"},
    "prebake/sizes.py": set(),
    "prebake/disk.py": {"prebake.errors", "prebake.sizes"},
    "prebake/patience.py": {"prebake.errors", "prebake.process"},
    "prebake/http_failures.py": set(),
    "prebake/crew.py": set(),
    "prebake/colour.py": set(),
    "prebake/spec": {"prebake.errors"},
    "prebake/bake": {
        "prebake.errors",
        "entrypoints.buckets",
        "entrypoints.contract",
        "entrypoints.faults",
        "entrypoints.networks",
        "entrypoints.compiled",
        "entrypoints.machine",
        "entrypoints.saturation",
        "entrypoints.shapes",
        "entrypoints.ahead",
        "images",
    },
    "prebake/plan": {
        "prebake.errors",
        "prebake.spec",
        "prebake.bake.component",
        "prebake.bake.settings",
        "prebake.bake.join_settings",
        "prebake.bake.artifact_file",
    },
    "prebake/render": {
        "prebake.errors",
        "prebake.sizes",
        "prebake.spec",
        "prebake.plan",
        "prebake.bake.join_settings",
        "prebake.bake.artifact_file",
    },
    "prebake/checkpoints": {
        "prebake.errors",
        "prebake.colour",
        "prebake.disk",
        "prebake.sizes",
        "prebake.spec",
        "prebake.plan",
        "prebake.process",
        "prebake.patience",
        "prebake.http_failures",
        "prebake.crew",
    },
    "prebake/oci": {
        "prebake.errors",
        "prebake.disk",
        "prebake.sizes",
        "prebake.spec",
        "prebake.plan",
        "prebake.process",
        "prebake.patience",
        "prebake.http_failures",
        "prebake.crew",
    },
    "prebake/engine": {"prebake.errors", "prebake.disk", "prebake.spec", "prebake.plan", "prebake.process"},
    "prebake/measure": {
        "prebake.errors",
        "prebake.sizes",
        "prebake.spec",
        "prebake.plan",
        "prebake.bake.join_settings",
    },
    "prebake/workflow": {"prebake"},
    "prebake/commands": {"prebake"},
    "prebake/cli.py": {"prebake.colour", "prebake.disk", "prebake.errors", "prebake.commands"},
    "build.py": {"prebake.cli"},
    "entrypoints": {"images"},
}
# What each room may import of others' packages.
THEIRS: dict[str, set[str]] = {
    "prebake/spec": {"packaging", "pydantic", "pydantic_core", "yaml"},
    "prebake/bake": {
        "PIL",
        "numpy",
        "torch",
        "onnx",
        "onnx_ir",
        "onnxscript",
        "onnxruntime",
        "safetensors",
        "sentence_transformers",
        "tokenizers",
        "transformers",
        "ml_dtypes",
        "xxhash",
    },
    "prebake/render": {"jinja2", "yaml"},
    "prebake/http_failures.py": {"httpx"},
    "prebake/checkpoints": {
        "httpx",
        "huggingface_hub",
        "hf_xet",
        "modelscope_hub",
        "s3fs",
        "botocore",
        "gcsfs",
        "google",
        "aiohttp",
    },
    "prebake/oci": {"deflate", "httpx", "packaging", "zstandard"},
    "prebake/engine": {"docker", "requests"},
    "prebake/workflow": {"onnxruntime", "yaml"},
    "entrypoints": {"numpy", "onnxruntime", "torch", "safetensors", "uvicorn", "python_multipart", "xxhash"},
}
# Rooms that are pure: no clock, network or process may come in (spec reads files, and only that).
IMPURE = {
    "subprocess",
    "socket",
    "time",
    "random",
    "http",
    "urllib",
    "requests",
    "httpx",
    "docker",
    "tempfile",
    "shutil",
}
PURE = ("prebake/spec", "prebake/plan", "prebake/render")


def files(room: str) -> list[Path]:
    path = ROOT / room
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno


def within(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


def module_of(room: str) -> str:
    return room.removesuffix(".py").replace("/", ".")


@pytest.mark.parametrize("room", sorted(OURS))
def test_rooms_import_only_what_lies_before_them(room: str) -> None:
    allowed = OURS[room] | {module_of(room)}
    found = files(room)
    assert found
    offending = []
    for path in found:
        for module, line in imports(path):
            top = module.split(".")[0]
            if top in ("prebake", "entrypoints", "images", "tests"):
                bare = module == "prebake"  # the version and the package's place
                if not bare and not within(module, allowed):
                    offending.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
            elif top not in STDLIB and top != "__future__" and not within(module, THEIRS.get(room, set())):
                offending.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not offending, "\n".join(offending)


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_reach_for_nothing_outside(room: str) -> None:
    offending = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files(room)
        for module, line in imports(path)
        if module.split(".")[0] in IMPURE
    ]
    assert not offending, "\n".join(offending)


def test_the_stages_are_given_every_entrypoint_that_they_import() -> None:
    named = {f"entrypoints/{name}" for name in STAGED}
    paths = [*files("prebake/bake"), *(ROOT / name for name in named)]
    asked = {
        f"{module.replace('.', '/')}.py"
        for path in paths
        for module, _ in imports(path)
        if module.startswith("entrypoints.")
    }
    assert asked <= named


def test_subprocesses_start_in_one_module() -> None:
    offending = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / "prebake").rglob("*.py"))
        for module, line in imports(path)
        if module.split(".")[0] == "subprocess" and path != ROOT / "prebake/process.py"
    ]
    assert not offending, "\n".join(offending)


def test_served_code_of_every_image_needs_no_torch() -> None:
    from prebake.spec.project import list_images, read_project

    offending = []
    for name in list_images(ROOT):
        for file in read_project(ROOT, name, locked=False).serve:
            for module, line in imports(ROOT / file.path):
                if module.split(".")[0] in ("torch", "transformers", "onnx", "onnxscript", "prebake"):
                    offending.append(f"{file.path}:{line} imports {module}")
    assert not offending, "\n".join(offending)


def test_an_image_of_graphs_serves_without_torch() -> None:
    """What is imported to serve graphs, by a process that has torch at hand."""
    code = "import sys, entrypoints.preload, entrypoints.opener; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_importing_build_has_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    sys.modules.pop("build", None)
    __import__("runpy").run_path(str(ROOT / "build.py"), run_name="build")
    assert capsys.readouterr().out == ""
