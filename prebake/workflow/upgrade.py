"""``prebake upgrade``: the files of a project in the present schema. Either every file is replaced or none.

One upgrade runs at a time. A kill between two renames leaves some files of the earlier schema and some of the present one; each
file is whole, and the next ``prebake upgrade`` rewrites the others and removes what the killed one left.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

from prebake.errors import Problem, SchemaOutdated, UpgradeRefused, older_schema
from prebake.io.atomic_write import remove_unfinished, replace_files
from prebake.io.file_lock import hold_folder_lock
from prebake.spec.image.image import IMAGE_NAME, IMAGE_NAME_LENGTH
from prebake.spec.project import image_folder
from prebake.spec.suggestions import nearest_or_all
from prebake.spec.text_file import read_text
from prebake.spec.upgrade.upgraded_file import UpgradedFile, upgrade_image, upgrade_lock
from prebake.spec.yaml_file import read_document
from prebake.workflow.requests import UpgradeRequest

Upgrade = Callable[[str, str], tuple[UpgradedFile | None, list[Problem]]]
IMAGE_FILE = "image.yaml"
UPGRADES: Mapping[str, Upgrade] = {IMAGE_FILE: upgrade_image, "weights.lock": upgrade_lock}


def upgrade_project(request: UpgradeRequest) -> str:
    """Rewrite ``image.yaml`` and ``weights.lock`` of the named images; what changed, for a person.

    Raises UnknownImage, UpgradeRefused with every problem of every file, or, with ``check``, SchemaOutdated if a file has an
    earlier schema.
    """
    images = request.root / "images"
    if not _list_images(images):
        return f"Nothing to do: {request.root} has no images/*/{IMAGE_FILE}."
    with nullcontext() if request.check else hold_folder_lock(images):
        files = _upgraded(request)
        outdated = {path: file for path, file in files.items() if file.changes}
        if request.check and outdated:
            raise SchemaOutdated(
                [Problem(file.where, older_schema(file.schema, file.present)) for file in outdated.values()]
            )
        if not request.check:
            for folder in {path.resolve().parent for path in files}:
                remove_unfinished(folder)
            replace_files({path.resolve(): file.text.encode() for path, file in outdated.items()})
    if not outdated:
        return f"Nothing to do: {', '.join(file.where for file in files.values())} already have the present schema."
    return "\n".join(line for file in outdated.values() for line in _describe(file))


def _upgraded(request: UpgradeRequest) -> dict[Path, UpgradedFile]:
    files: dict[Path, UpgradedFile] = {}
    names, problems = _models(request)
    for name in names:
        for file_name, upgrade in UPGRADES.items():
            path, where = request.root / "images" / name / file_name, f"images/{name}/{file_name}"
            if os.path.lexists(path):
                file, more = _upgrade(path, where, upgrade)
                problems += more
                files |= {path: file} if file else {}
    if problems:
        raise UpgradeRefused(
            "These files cannot be rewritten, so no file was changed:",
            problems,
            next_action="correct the problems above, then run `prebake upgrade` again",
        )
    return files


def _upgrade(path: Path, where: str, upgrade: Upgrade) -> tuple[UpgradedFile | None, list[Problem]]:
    text, problems = read_text(path, where)
    return (None, problems) if text is None else upgrade(text, where)


def _list_images(images: Path) -> list[str]:
    """The folders that have an image.yaml. A broken link counts too: it is reported as a problem."""
    folders = sorted(images.iterdir()) if images.is_dir() else []
    return [folder.name for folder in folders if os.path.lexists(folder / IMAGE_FILE)]


def _models(request: UpgradeRequest) -> tuple[list[str], list[Problem]]:
    """The named images, each with the images that it serves together; all images if none is named."""
    known = _list_images(request.root / "images")
    names, problems = dict.fromkeys(request.models or known), list[Problem]()
    for name in tuple(names):
        if name not in known:
            image_folder(request.root, name)  # raises UnknownImage
        more, faults = _served_together(request.root, name, known)
        names |= dict.fromkeys(more)
        problems += faults
    return list(names), problems


def _served_together(root: Path, name: str, known: list[str]) -> tuple[list[str], list[Problem]]:
    """The names below ``models``. Other problems of the file are reported when the file itself is upgraded."""
    where = f"images/{name}/{IMAGE_FILE}"
    text, _ = read_text(root / where, where)
    document, _ = read_document(text, where) if text is not None else (None, [])
    models = document.data.get("models") if document and isinstance(document.data, dict) else None
    if document is None or not isinstance(models, dict):
        return [], []
    names, problems = list[str](), list[Problem]()
    for model in map(str, models):
        place = document.place(("models", model))
        if not re.fullmatch(IMAGE_NAME, model) or len(model) > IMAGE_NAME_LENGTH:
            problems.append(Problem(place, f"{model!r} is not a valid image name"))
        elif model not in known:
            problems.append(
                Problem(place, f"no image has the name {model!r}", nearest_or_all(model, known, "there are"))
            )
        else:
            names.append(model)
    return names, problems


def _describe(file: UpgradedFile) -> Iterator[str]:
    yield f"{file.where}: rewritten"
    yield from (f"  {change}" for change in file.changes)
