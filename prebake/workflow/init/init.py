"""``prebake init``: read a checkpoint and write the folder of an image that is ready to build."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from keyword import iskeyword
from pathlib import Path

from prebake.errors import Problem, SpecInvalid
from prebake.io.log import Log
from prebake.spec.image.image import IMAGE_NAME, IMAGE_NAME_LENGTH
from prebake.spec.image.licenses import UNKNOWN
from prebake.spec.project import SAMPLES
from prebake.spec.project_folder import list_images
from prebake.spec.reader import parse_image
from prebake.workflow.checkpoint.lock import lock_image
from prebake.workflow.init.recognizers import diffusers, onnx, torch_files, transformers
from prebake.workflow.init.recognizers.recognizer import (
    ImageDraft,
    InitRefused,
    RecognizedCheckpoint,
    Recognizer,
    refuse,
)
from prebake.workflow.init.remote_checkpoint import fetch_checkpoint
from prebake.workflow.requests import InitRequest

RECOGNIZERS: Mapping[str, Recognizer] = {
    "a diffusers pipeline (model_index.json)": diffusers.recognize,
    "a transformers folder (config.json and *.safetensors)": transformers.recognize,
    "an .onnx file, or a folder of such": onnx.recognize,
    "a .pt2 or TorchScript file": torch_files.recognize,
}
"""The kinds of checkpoints by name; the first that recognizes a path is used."""


def init_image(request: InitRequest, log: Log) -> str:
    """Write ``images/NAME/`` with spec, code or sample input, README and lock. Returns its path. After an error no file of it
    stays."""
    folder = request.root / "images" / request.name
    if not re.fullmatch(IMAGE_NAME, request.name) or len(request.name) > IMAGE_NAME_LENGTH or iskeyword(request.name):
        raise InitRefused(
            f"{request.name!r} is not a valid image name.",
            next_action=f"use lower-case letters and digits, _ between words, a letter first, {IMAGE_NAME_LENGTH} characters "
            "at most, and no keyword of Python",
        )
    if request.name in list_images(request.root) or folder.exists():
        raise InitRefused(f"{folder} exists already.", next_action="choose another name, or remove it")
    with fetch_checkpoint(ImageDraft(request, log=log), _check_documents) as (path, draft):
        checkpoint = _recognize(path)
        _check_sample(draft.request, checkpoint)
        files = checkpoint.write(draft)
        place = draft.source(path).get("folder", "")
    _check_spec(files["image.yaml"].decode(), request)
    try:
        for name, content in files.items():
            _write(folder / name, content)
            log(f"init: wrote {folder / name}")
        lock_image(request.root, request.name, None, log)
        if place.startswith(".."):
            log(
                f"init: image.yaml refers to the checkpoint by a path outside of the project's folder: {place}; another "
                "clone needs the checkpoint at that path, or another `folder`"
            )
    except BaseException:
        _remove(folder, (*files, "weights.lock"))
        raise
    if UNKNOWN in files["image.yaml"].decode():
        where = f"checkpoints.{draft.checkpoint}.license.id"
        log(f"init: write the license of the weights into {folder / 'image.yaml'}: {where}")
    return str(folder.relative_to(request.root))


def _check_sample(request: InitRequest, checkpoint: RecognizedCheckpoint) -> None:
    """Raises InitRefused if the sample is not a sample file, or if init cannot run the graphs on it."""
    sample = request.sample
    if sample is None:
        return
    problems = []
    if not isinstance(checkpoint, onnx.PublishedGraphs):
        problems.append(Problem(request.origin, "is not an ONNX file, and init runs only ONNX files on samples"))
    if not sample.is_file():
        problems.append(Problem(str(sample), "does not exist, or is not a file"))
    elif f"sample{sample.suffix}" not in SAMPLES:
        problems.append(Problem(str(sample), f"has another suffix than {', '.join(SAMPLES)}"))
    refuse(
        "--sample cannot be used:",
        problems,
        "give an .npz, .npy or .json for ONNX files; for a torch file put sample.json into its folder after init",
    )


def _check_spec(text: str, request: InitRequest) -> None:
    """Check image.yaml before it is written: a file name or a license may be invalid there."""
    try:
        parse_image(text, f"images/{request.name}/image.yaml")
    except SpecInvalid as error:
        raise InitRefused(
            f"init cannot write image.yaml for {request.origin}: {error.message}",
            next_action="give its files plain names (letters, digits, `._@+-`), and pass an SPDX identifier to --license",
        ) from error


def _check_documents(path: Path) -> None:
    """Refuse a checkpoint by its documents, before its weights are downloaded."""
    for recognize in RECOGNIZERS.values():
        if (found := recognize(path)) is not None:
            found.check()
            return


def _recognize(path: Path) -> RecognizedCheckpoint:
    if path.exists():
        for recognize in RECOGNIZERS.values():
            if (found := recognize(path)) is not None:
                return found
    why = "is none of these" if path.is_file() else "holds none of these" if path.is_dir() else "does not exist"
    known = "; ".join(RECOGNIZERS)
    raise InitRefused(
        f"{path} {why}" + (f": {known}." if path.exists() else "."),
        next_action=f"give {known}; docs/adding-a-model.md shows how to bake any other checkpoint",
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Remove these files, and the folders that become empty."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    for path in sorted((folder, *(path for path in folder.rglob("*") if path.is_dir())), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
