"""``prebake init``: look at a checkpoint and write the folder of an image that is ready to build."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from keyword import iskeyword
from pathlib import Path

from prebake.errors import Problem, SpecInvalid
from prebake.spec.image import IMAGE_NAME, IMAGE_NAME_LENGTH
from prebake.spec.licences import UNKNOWN
from prebake.spec.project import SAMPLES, list_images
from prebake.spec.reading import parse_image
from prebake.workflow.beginnings import diffusers, onnx, torch_files, transformers
from prebake.workflow.beginnings.beginning import Asked, Beginning, InitRefused, Recognise, refuse
from prebake.workflow.lock import lock_image
from prebake.workflow.remote import fetched
from prebake.workflow.steps import Tell

KINDS: Mapping[str, Recognise] = {
    "a diffusers pipeline (model_index.json)": diffusers.recognise,
    "a transformers folder (config.json and *.safetensors)": transformers.recognise,
    "an .onnx file, or a folder of such": onnx.recognise,
    "a .pt2 or TorchScript file": torch_files.recognise,
}
"""What can be begun with, the first that recognises it."""


def init_image(asked: Asked, tell: Tell) -> str:
    """Write ``images/NAME/`` with spec, code or sample input, README and lock; its path. After an error nothing of it is
    left."""
    folder = asked.root / "images" / asked.name
    if not re.fullmatch(IMAGE_NAME, asked.name) or len(asked.name) > IMAGE_NAME_LENGTH or iskeyword(asked.name):
        raise InitRefused(
            f"{asked.name!r} is no name for an image.",
            next_action=f"use lower-case letters and digits, _ between words, a letter first, {IMAGE_NAME_LENGTH} at most; "
            "and no word of Python's",
        )
    if asked.name in list_images(asked.root) or folder.exists():
        raise InitRefused(f"{folder} exists already.", next_action="choose another name, or remove it")
    with fetched(asked, tell, _check) as (path, given):
        found = _recognise(path)
        _check_sample(given, found)
        files = found.write(replace(given, tell=tell))
        place = given.source(path).get("folder", "")
    _check_spec(files["image.yaml"].decode(), asked)
    try:
        for name, content in files.items():
            _write(folder / name, content)
            tell(f"init: wrote {folder / name}")
        lock_image(asked.root, asked.name, None, tell)
        if place.startswith(".."):
            tell(
                f"init: image.yaml names the checkpoint by its place from the project's folder, outside of it: {place}; another "
                "clone needs it there, or another `folder`"
            )
    except BaseException:
        _remove(folder, (*files, "weights.lock"))
        raise
    if UNKNOWN in files["image.yaml"].decode():
        where = f"checkpoints.{given.checkpoint}.licence.id"
        tell(f"init: say the licence of the weights in {folder / 'image.yaml'}: {where}")
    return str(folder.relative_to(asked.root))


def _check_sample(asked: Asked, found: Beginning) -> None:
    """Raise InitRefused for a sample that init cannot try, or that is no file of samples."""
    sample = asked.sample
    if sample is None:
        return
    problems = []
    if not isinstance(found, onnx.PublishedGraphs):
        problems.append(Problem(asked.origin, "is no ONNX file: init asks no other for an answer"))
    if not sample.is_file():
        problems.append(Problem(str(sample), "is no file here"))
    elif f"sample{sample.suffix}" not in SAMPLES:
        problems.append(Problem(str(sample), f"is none of {', '.join(SAMPLES)}, by its ending"))
    refuse(
        "--sample cannot be used:",
        problems,
        "give an .npz, .npy or .json for ONNX files; for a torch file put sample.json into its folder after init",
    )


def _check_spec(text: str, asked: Asked) -> None:
    """Before anything is written: a file's name or a licence may be none that image.yaml takes."""
    try:
        parse_image(text, f"images/{asked.name}/image.yaml")
    except SpecInvalid as error:
        raise InitRefused(
            f"No spec can be made of {asked.origin}: {error.message}",
            next_action="give its files plain names (letters, digits, `._@+-`), and --licence an SPDX identifier",
        ) from error


def _check(path: Path) -> None:
    """What the documents of a checkpoint rule out, before its weights are here."""
    for recognise in KINDS.values():
        if (found := recognise(path)) is not None:
            found.check()
            return


def _recognise(path: Path) -> Beginning:
    if path.exists():
        for recognise in KINDS.values():
            if (found := recognise(path)) is not None:
                return found
    why = (
        "is none of these"
        if path.is_file()
        else "holds none of these"
        if path.is_dir()
        else "is no file or folder here"
    )
    known = "; ".join(KINDS)
    raise InitRefused(
        f"{path} {why}" + (f": {known}." if path.exists() else "."),
        next_action=f"give {known}; for any other checkpoint docs/adding-a-model.md shows the way",
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _remove(folder: Path, names: Iterable[str]) -> None:
    """These files, and the folders that only they were in."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    for each in sorted((folder, *(path for path in folder.rglob("*") if path.is_dir())), reverse=True):
        if each.is_dir() and not any(each.iterdir()):
            each.rmdir()
