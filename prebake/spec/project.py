"""A project on disk as one value: the image's spec, lock and code, and the templates and entrypoints it is built with.

Two roots. The project's own (``images/``, and any template of its own) comes first; the library's (templates,
entrypoints, the bake library) lies beside the package in a clone and inside it in an installed wheel.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import prebake
from prebake.errors import LockMismatch, Problem, SpecInvalid, UnknownImage
from prebake.spec.image import ImageSpec
from prebake.spec.lock import RELOCK, Lock, parse_lock
from prebake.spec.members import Candidate, find_strangers, find_unfit
from prebake.spec.reading import FIX, parse_image
from prebake.spec.yamlfile import read_document

PACKAGE = Path(prebake.__file__).parent


@dataclass(frozen=True)
class SourceFile:
    """A file that goes into the build's context as it is."""

    path: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Project:
    """Everything that a plan is made from. ``lock`` is None where locking is what is about to happen, and for an image of
    several models: ``members`` are those then, and have locks of their own."""

    root: Path
    spec: ImageSpec
    lock: Lock | None
    serve: tuple[SourceFile, ...]
    export: tuple[SourceFile, ...]
    naive: tuple[SourceFile, ...]
    entrypoints: tuple[SourceFile, ...]
    bake: tuple[SourceFile, ...]
    notices: tuple[SourceFile, ...]
    requirements: Mapping[str, str]
    templates: Mapping[str, str]
    torch: tuple[SourceFile, ...] = ()
    """Served besides ``serve``, where torch serves."""
    members: Mapping[str, Project] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.root / "images" / self.spec.name


def library_root() -> Path:
    """Where templates/ and entrypoints/ lie."""
    shipped = PACKAGE / "_shipped"
    return shipped if shipped.is_dir() else PACKAGE.parent


def find_root(start: Path) -> Path:
    """The nearest folder from ``start`` upwards that holds ``images/*/image.yaml``. Raises UnknownImage."""
    places = (start.resolve(), *start.resolve().parents)
    if found := next((place for place in places if list_images(place)), None):
        return found
    raise UnknownImage(
        f"There is no project here: no images/*/image.yaml in {', '.join(map(str, places))}.",
        next_action="change into a project's folder or name it by `--project DIR`; `prebake init NAME --from PATH` begins one",
    )


def list_images(root: Path) -> list[str]:
    """The names of the images that a project has, in order."""
    return sorted(path.parent.name for path in (root / "images").glob("*/image.yaml"))


def read_spec(root: Path, name: str) -> ImageSpec:
    """One image's spec alone. Raises UnknownImage or SpecInvalid."""
    spec = parse_image((_find(root, name) / "image.yaml").read_text(encoding="utf-8"), f"images/{name}/image.yaml")
    if spec.name != name:
        problem = Problem(f"images/{name}/image.yaml name", f"is {spec.name!r}, the folder is called {name!r}")
        raise SpecInvalid("The image and its folder differ:", [problem], next_action=FIX)
    return spec


def read_project(root: Path, name: str, *, locked: bool = True) -> Project:
    """Read one image and what it is built with.

    Raises UnknownImage (with the nearest name), SpecInvalid or LockMismatch.
    """
    folder = _find(root, name)
    spec = read_spec(root, name)
    library = library_root()
    requirements = _requirements(library / "templates") | _requirements(folder)
    return Project(
        root=root,
        spec=spec,
        lock=_read_lock(folder, name) if locked and not spec.models else None,
        serve=() if spec.models else _code(root, folder, spec.code.serve),
        export=()
        if spec.models
        else _code(root, folder, (*spec.code.export, *_calibration(spec), *_samples(folder, spec))),
        naive=_code(root, folder, ("naive.py",)) if (folder / "naive.py").is_file() else (),
        entrypoints=_files(library, "entrypoints", "**/*", skip=("__pycache__",)),
        bake=_bake_library(library),
        notices=tuple(SourceFile(f"notices/{path}", (folder / path).read_bytes()) for path in spec.notices),
        requirements=requirements,
        templates=read_templates(root),
        torch=() if spec.models else _code(root, folder, spec.code.torch),
        members=_read_members(root, spec, requirements, locked=locked),
    )


SAMPLES = ("sample.json", "sample.npz", "sample.npy")
"""Files of an image of published graphs that hold real inputs (``prebake.bake.sample_file``)."""


def _samples(folder: Path, spec: ImageSpec) -> tuple[str, ...]:
    """The sample of published graphs, which the stages read whether `code` lists it or not."""
    if not any(each.onnx or each.torch for each in spec.components.values()):
        return ()
    return tuple(name for name in SAMPLES if name not in spec.code.export and (folder / name).is_file())


def _read_members(root: Path, spec: ImageSpec, requirements: Mapping[str, str], *, locked: bool) -> dict[str, Project]:
    """The models of an image of several. Raises SpecInvalid with everything that does not fit."""
    if not spec.models:
        return {}
    where, names = f"images/{spec.name}/image.yaml", list_images(root)
    document, _ = read_document((root / where).read_text(encoding="utf-8"), where)
    known = {name: read_spec(root, name) for name in spec.models if name in names}
    members = {name: read_project(root, name, locked=locked) for name, each in known.items() if not each.models}
    candidates = {name: Candidate(each.spec, each.lock, each.requirements) for name, each in members.items()}
    problems: list[Problem] = []
    if document is not None:
        problems += find_strangers(document, spec, known, [name for name in names if name != spec.name])
        problems += find_unfit(document, spec, requirements, candidates)
    if problems:
        raise SpecInvalid(f"{where} cannot be built from:", problems, next_action=FIX)
    return members


def read_templates(root: Path) -> dict[str, str]:
    """The library's templates by name; a project's own of the same name wins."""
    return _templates(library_root()) | _templates(root)


def _find(root: Path, name: str) -> Path:
    names = list_images(root)
    if name in names:
        return root / "images" / name
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    known = f"there are: {', '.join(names)}" if names else f"{root} has no images/*/image.yaml"
    advice = f"did you mean `--model {near[0]}`? ({known})" if near else known
    raise UnknownImage(f"No image is called {name!r}.", next_action=advice)


def _read_lock(folder: Path, name: str) -> Lock:
    path = folder / "weights.lock"
    where = f"images/{name}/weights.lock"
    if not path.is_file():
        raise LockMismatch(
            "Nothing is pinned yet:", [Problem(where, "is missing")], next_action=RELOCK.format(name=name)
        )
    return parse_lock(path.read_text(encoding="utf-8"), where)


def _code(root: Path, folder: Path, globs: Iterable[str]) -> tuple[SourceFile, ...]:
    paths: list[Path] = []
    for pattern in globs:
        found = sorted(path for path in folder.glob(pattern) if path.is_file() and "__pycache__" not in path.parts)
        if not found:
            problem = Problem(f"images/{folder.name}/image.yaml code", f"{pattern!r} matches no file")
            raise SpecInvalid(
                "Code is missing:", [problem], next_action=f"add the file to images/{folder.name}/ or drop the entry"
            )
        paths += found
    return tuple(SourceFile(path.relative_to(root).as_posix(), path.read_bytes()) for path in dict.fromkeys(paths))


def _calibration(spec: ImageSpec) -> list[str]:
    """The calibration sets that components name: the export stage reads them."""
    precisions = (component.precision for component in spec.components.values())
    return [each.calibration for each in precisions if each.type == "int8" and each.calibration]


def _files(root: Path, folder: str, pattern: str, *, skip: tuple[str, ...]) -> tuple[SourceFile, ...]:
    paths = sorted(path for path in (root / folder).glob(pattern) if path.is_file() and not set(skip) & set(path.parts))
    return tuple(SourceFile(path.relative_to(root).as_posix(), path.read_bytes()) for path in paths)


STAGED = (
    "__init__.py",
    "ahead.py",
    "buckets.py",
    "compiled.py",
    "contract.py",
    "faults.py",
    "gpu.py",
    "machine.py",
    "saturation.py",
    "networks.py",
    "shapes.py",
)
"""Of the entrypoints, what the stages have too: both sides read it alike."""


def _bake_library(library: Path) -> tuple[SourceFile, ...]:
    """What the stages import besides the image's own code: the library, the port that models implement, and how the container
    loads networks in torch, knows its machine and brings inputs to buckets."""
    port = tuple(SourceFile(f"entrypoints/{name}", (library / "entrypoints" / name).read_bytes()) for name in STAGED)
    paths = [PACKAGE / "__init__.py", PACKAGE / "errors.py", *sorted((PACKAGE / "bake").glob("*.py"))]
    return (
        *port,
        *(SourceFile(f"prebake/{path.relative_to(PACKAGE).as_posix()}", path.read_bytes()) for path in paths),
    )


def _requirements(folder: Path) -> dict[str, str]:
    """Locked packages by what they are for: a target, or ``export``."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((folder / "requirements").glob("*.txt"))}


def _templates(root: Path) -> dict[str, str]:
    folder = root / "templates"
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
