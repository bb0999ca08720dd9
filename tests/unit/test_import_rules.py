"""The folders tell the flow, and this keeps them to it: an import against it fails here, with its path."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from prebake.spec.stage_code import imported_modules, read_stage_code
from tests.support.repository import ROOT

STDLIB = set(sys.stdlib_module_names)

# What each room may import of ours: whole rooms, no exceptions. A room may always import itself.
OURS: dict[str, set[str]] = {
    "build.py": {"prebake.cli"},
    "prebake/errors.py": set(),
    "prebake/cli.py": {"prebake.commands", "prebake.errors", "prebake.io", "prebake.spec"},
    "prebake/documents": {"prebake.errors"},
    "prebake/io": {"prebake.errors"},
    "prebake/spec": {"prebake.errors"},
    "prebake/plan": {"prebake.errors", "prebake.documents", "prebake.spec"},
    "prebake/render": {"prebake.errors", "prebake.documents", "prebake.io", "prebake.plan", "prebake.spec"},
    "prebake/bootstrap": {"prebake.errors", "prebake.documents", "prebake.io", "prebake.oci"},
    "prebake/checkpoints": {"prebake.errors", "prebake.io", "prebake.plan", "prebake.spec"},
    "prebake/docker": {"prebake.errors", "prebake.bootstrap", "prebake.io", "prebake.oci", "prebake.spec"},
    "prebake/oci": {"prebake.errors", "prebake.documents", "prebake.io", "prebake.plan", "prebake.spec"},
    "prebake/measure": {"prebake.errors", "prebake.documents", "prebake.io", "prebake.spec"},
    "prebake/bake": {
        "prebake.errors",
        "prebake.documents",
        "entrypoints.contract",
        "entrypoints.errors",
        "entrypoints.hardware",
        "entrypoints.manifest",
        "entrypoints.runtime",
        "images",
    },
    "prebake/workflow": {"prebake"},
    "prebake/commands": {"prebake"},
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
    "prebake/bootstrap": {"docker", "requests"},
    "prebake/io": {"httpx"},
    "prebake/measure": {"jinja2"},
    "prebake/render": {"jinja2", "yaml"},
    "prebake/io/http_errors.py": {"httpx"},
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
    "prebake/docker": {"docker", "requests"},
    "prebake/workflow": {"onnxruntime", "yaml"},
    "entrypoints": {"numpy", "onnxruntime", "torch", "safetensors", "grpc", "h11", "xxhash"},
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
            for alias in node.names:
                inner = ROOT / node.module.replace(".", "/") / alias.name
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield f"{node.module}.{alias.name}" if is_module else node.module, node.lineno


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


def package_graph(package: str) -> dict[str, dict[str, str]]:
    """Which parts of a package (modules and sub-packages) import which, each with one import that shows it."""
    prefix = f"{package.replace('/', '.')}."
    graph: dict[str, dict[str, str]] = {}
    for path in files(package):
        own = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__") + "."
        for module, line in imports(path):
            if own.startswith(prefix) and own != prefix and module.startswith(prefix):
                part, other = (name.removeprefix(prefix).split(".")[0] for name in (own, module))
                if part != other:
                    graph.setdefault(part, {})[other] = f"{path.relative_to(ROOT)}:{line} imports {module}"
    return graph


def find_circle(graph: dict[str, dict[str, str]], path: tuple[str, ...]) -> list[str]:
    """The imports of one circle that ``path`` runs into; none if there is none."""
    for other in graph.get(path[-1], {}):
        if other in path:
            return [graph[a][b] for a, b in pairwise((*path[path.index(other) :], other))]
        if circle := find_circle(graph, (*path, other)):
            return circle
    return []


PACKAGES = sorted(
    {path.parent.relative_to(ROOT).as_posix() for room in ("prebake", "entrypoints") for path in files(room)}
)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_has_a_circle_of_imports(package: str) -> None:
    graph = package_graph(package)
    assert not [line for part in graph for line in find_circle(graph, (part,))]


def test_no_folder_has_more_than_fifteen_modules() -> None:
    tops = ("prebake", "entrypoints", "images", "templates", "tests", "tools")
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for top in tops for path in (ROOT / top).rglob("*.py"))
    assert {folder: count for folder, count in counts.items() if count > 15} == {}


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_reach_for_nothing_outside(room: str) -> None:
    offending = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files(room)
        for module, line in imports(path)
        if module.split(".")[0] in IMPURE
    ]
    assert not offending, "\n".join(offending)


def test_the_stages_are_given_every_entrypoint_that_they_import_and_no_other() -> None:
    given = {file.path for file in read_stage_code(ROOT) if file.path.startswith("entrypoints/")}
    paths = [*files("prebake/bake"), *files("prebake/documents"), *(ROOT / name for name in given)]
    needed = {
        f"{module.replace('.', '/')}.py"
        for path in paths
        for module, _ in imports(path)
        if module.startswith("entrypoints.")
    }
    packages = {f"{parent}/__init__.py" for name in needed for parent in list(Path(name).parents)[:-1]}
    assert given == needed | packages


@pytest.mark.parametrize(
    "text",
    [
        "from entrypoints.a.b import c",
        "    from entrypoints.a import b  # lazily",
        "from entrypoints.a import (\n    x,\n    b as c,\n)",
        "import entrypoints.a.b",
    ],
)
def test_an_import_is_found_however_it_is_written(text: str, tmp_path: Path) -> None:
    (tmp_path / "entrypoints/a").mkdir(parents=True)
    for name in ("__init__.py", "a/__init__.py", "a/x.py", "a/other.py"):
        (tmp_path / "entrypoints" / name).touch()
    (tmp_path / "entrypoints/a/b.py").write_text("from entrypoints.a import other\n")
    found = imported_modules(tmp_path, [text])
    wanted = ["entrypoints/__init__.py", "entrypoints/a/__init__.py", "entrypoints/a/b.py", "entrypoints/a/other.py"]
    assert [name for name in found if name != "entrypoints/a/x.py"] == wanted


def test_subprocesses_start_in_one_module() -> None:
    offending = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / "prebake").rglob("*.py"))
        for module, line in imports(path)
        if module.split(".")[0] == "subprocess" and path != ROOT / "prebake/io/subprocesses.py"
    ]
    assert not offending, "\n".join(offending)


def test_served_code_of_every_image_needs_no_torch() -> None:
    from prebake.spec.project import read_project
    from prebake.spec.project_folder import list_images

    offending = []
    for name in list_images(ROOT):
        for file in read_project(ROOT, name, locked=False).serve:
            for module, line in imports(ROOT / file.path):
                if module.split(".")[0] in ("torch", "transformers", "onnx", "onnxscript", "prebake"):
                    offending.append(f"{file.path}:{line} imports {module}")
    assert not offending, "\n".join(offending)


def test_an_image_of_graphs_serves_without_torch() -> None:
    """What is imported to serve graphs, by a process that has torch at hand."""
    code = "import sys, entrypoints.model.preload, entrypoints.components.opener; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_importing_build_has_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    sys.modules.pop("build", None)
    __import__("runpy").run_path(str(ROOT / "build.py"), run_name="build")
    assert capsys.readouterr().out == ""
