"""A project on disk as one value: an image's spec, lock and code, and the templates and container code that it is built with.

There are two roots. The project's root has ``images/`` and, optionally, templates. The library's root has templates, entrypoints
and the bake library; it lies beside the package in a clone, and inside the package in an installed wheel.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prebake.errors import LockMismatch, Problem, SpecInvalid, UnknownImage
from prebake.spec.checks.multi_model_rules import Candidate, find_misfits, find_unknown_models
from prebake.spec.image.image import ImageSpec
from prebake.spec.image_files import FieldPattern, ImageFiles, field_place, list_patterns
from prebake.spec.lock import RELOCK, Lock, parse_lock
from prebake.spec.project_folder import list_images
from prebake.spec.reader import FIX, parse_image
from prebake.spec.serving_packages import add_serving_packages, select_code
from prebake.spec.source_file import SourceFile
from prebake.spec.stage_code import PACKAGE, read_stage_code
from prebake.spec.text_file import read_text
from prebake.spec.yaml_file import read_document


@dataclass(frozen=True)
class Project:
    """Everything that a plan is made from. ``lock`` is None while the lock is being written, and for a multi-model image, whose
    ``models`` have their own locks. ``torch`` is served with ``serve`` on targets that torch serves."""

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
    models: Mapping[str, Project] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.root / "images" / self.spec.name


def library_root() -> Path:
    """The folder of templates/ and entrypoints/."""
    shipped = PACKAGE / "_shipped"
    return shipped if shipped.is_dir() else PACKAGE.parent


def read_spec(root: Path, name: str) -> ImageSpec:
    """One image's spec alone. Raises UnknownImage, SpecInvalid or SchemaOutdated."""
    where = f"images/{name}/image.yaml"
    text, problems = read_text(image_folder(root, name) / "image.yaml", where)
    if text is None:
        raise SpecInvalid(f"{where} cannot be read:", problems, next_action=FIX)
    spec = parse_image(text, where)
    if spec.name != name:
        where = field_place(image_folder(root, name), ("name",))
        problem = Problem(where, f"is {spec.name!r}, but the folder's name is {name!r}", f"write {name}")
        raise SpecInvalid("The image and its folder have different names:", [problem], next_action=FIX)
    return spec


def read_project(root: Path, name: str, *, locked: bool = True) -> Project:
    """Read one image and everything that it is built with.

    Raises UnknownImage (with the nearest name), SpecInvalid, SchemaOutdated or LockMismatch.
    """
    folder = image_folder(root, name)
    spec = read_spec(root, name)
    library = library_root()
    requirements = add_serving_packages(spec, _read_locks(folder))
    files = ImageFiles(root, folder)
    project = Project(
        root=root,
        spec=spec,
        lock=_read_lock(folder, name) if locked and not spec.models else None,
        serve=() if spec.models else files.match(list_patterns(spec.code.serve, "code", "serve")),
        export=() if spec.models else files.match(_export_patterns(folder, spec)),
        naive=files.match([((), "naive.py")]) if (folder / "naive.py").is_file() else (),
        entrypoints=select_code(spec, _files(library, "entrypoints", "**/*", skip=("__pycache__",))),
        bake=read_stage_code(library),
        notices=files.read_notices(spec.notices),
        requirements=requirements,
        templates=read_templates(root),
        torch=() if spec.models else files.match(list_patterns(spec.code.torch, "code", "torch")),
        models=_read_models(root, spec, requirements, locked=locked),
    )
    files.raise_problems()
    return project


SAMPLES = ("sample.json", "sample.npz", "sample.npy")
"""Files of an image of published graphs that hold real inputs (``prebake.bake.published.sample_file``)."""


def _export_patterns(folder: Path, spec: ImageSpec) -> Iterator[FieldPattern]:
    """The files of the export stage: its code, the calibration sets of components, and the samples of published graphs."""
    yield from list_patterns(spec.code.export, "code", "export")
    for name, component in spec.components.items():
        if component.precision.type == "int8" and component.precision.calibration:
            yield ("components", name, "precision", "calibration"), component.precision.calibration
    if any(component.published for component in spec.components.values()):
        yield from (((), name) for name in SAMPLES if (folder / name).is_file())


def _read_models(root: Path, spec: ImageSpec, requirements: Mapping[str, str], *, locked: bool) -> dict[str, Project]:
    """The models of a multi-model image. Raises SpecInvalid with every problem."""
    if not spec.models:
        return {}
    where, names = f"images/{spec.name}/image.yaml", list_images(root)
    document, _ = read_document((root / where).read_text(encoding="utf-8"), where)
    known = {name: read_spec(root, name) for name in spec.models if name in names}
    models = {name: read_project(root, name, locked=locked) for name, model in known.items() if not model.models}
    candidates = {name: Candidate(model.spec, model.lock, _read_locks(model.folder)) for name, model in models.items()}
    problems: list[Problem] = []
    if document is not None:
        problems += find_unknown_models(document, spec, known, [name for name in names if name != spec.name])
        problems += find_misfits(document, spec, requirements, candidates)
    if problems:
        raise SpecInvalid(f"No image can be built from {where}:", problems, next_action=FIX)
    return models


def read_templates(root: Path) -> dict[str, str]:
    """The library's templates by name; a template of the project with the same name replaces it."""
    return _templates(library_root()) | _templates(root)


def image_folder(root: Path, name: str) -> Path:
    """The folder of one image. Raises UnknownImage with the nearest name."""
    names = list_images(root)
    if name in names:
        return root / "images" / name
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    known = f"there are: {', '.join(names)}" if names else f"{root} has no images/*/image.yaml"
    advice = f"did you mean `--model {near[0]}`? ({known})" if near else known
    raise UnknownImage(f"No image has the name {name!r}.", next_action=advice)


def _read_lock(folder: Path, name: str) -> Lock:
    path = folder / "weights.lock"
    where = f"images/{name}/weights.lock"
    text, problems = read_text(path, where)
    if text is None:
        message = f"{where} cannot be read:" if path.exists() else "No checkpoint is pinned yet:"
        raise LockMismatch(message, problems, next_action=RELOCK.format(name=name))
    return parse_lock(text, where)


def _files(root: Path, folder: str, pattern: str, *, skip: tuple[str, ...]) -> tuple[SourceFile, ...]:
    paths = sorted(path for path in (root / folder).glob(pattern) if path.is_file() and not set(skip) & set(path.parts))
    return tuple(SourceFile(path.relative_to(root).as_posix(), path.read_bytes()) for path in paths)


def _read_locks(folder: Path) -> dict[str, str]:
    """An image's requirements locks by name; the library's for those that it does not bring."""
    return _requirements(library_root() / "templates") | _requirements(folder)


def _requirements(folder: Path) -> dict[str, str]:
    """Requirements files by target, or ``export``."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((folder / "requirements").glob("*.txt"))}


def _templates(root: Path) -> dict[str, str]:
    folder = root / "templates"
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
