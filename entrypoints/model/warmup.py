"""The warm-up: one real inference whose answer must be the framework's, then the shape buckets that it did not use."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from entrypoints.contract import Answer, Session
from entrypoints.errors import ManifestFault, ModelFault, SessionFault, SilentRebuild, WrongAnswer
from entrypoints.files.verification import list_extra_files
from entrypoints.forms.fields import convert_form
from entrypoints.forms.form import Form
from entrypoints.manifest.shape_buckets import describe_lengths
from entrypoints.manifest.values import Manifest
from entrypoints.model.answer_comparison import find_difference, measure_distance
from entrypoints.model.worker import Worker
from entrypoints.processes.timeline import Timeline
from entrypoints.response import HTTPException

if TYPE_CHECKING:
    from entrypoints.runtime.bucket_session import BucketSession


def read_request(models: Path, manifest: Manifest) -> Form:
    """The warm-up request as a form: its values as JSON would bring them, its files from the image."""
    name = manifest.warmup.request
    try:
        fields = json.loads((models / name).read_bytes())["fields"]
        files = {key: manifest.place(value["file"]) for key, value in fields.items() if isinstance(value, dict)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestFault(f'{name}: should be {{"fields": {{…}}}}, {type(error).__name__}: {error}') from None
    unknown = [f"{name}: the manifest has no file {file}" for file in files.values() if file not in manifest.files]
    if unknown:
        raise ManifestFault(unknown)
    contents = {key: (models / file).read_bytes() for key, file in files.items()}
    return Form({**fields, **contents}, is_json=True)


def answer_request(worker: Worker, form: Form) -> Answer:
    """By the same conversion, queue and thread as any request. Raises ModelFault if the form is refused."""
    assert worker.model is not None  # the worker was started with it  # noqa: S101
    try:
        return worker.submit(partial(worker.model.generate, convert_form(worker.fields, form))).answer.result()
    except HTTPException as error:
        message = json.loads(error.response.body)["error"]["message"]
        raise ModelFault(f"the warm-up request was refused: {message}") from None


def check_answer(answer: Answer, expected: bytes, media_type: str, tolerance: float) -> None:
    """Raises WrongAnswer, with the figures of the difference if it has some."""
    if answer.media_type.partition(";")[0] != media_type.partition(";")[0]:
        raise WrongAnswer(f"its media type should be {media_type}, is {answer.media_type}")
    difference = find_difference(expected, answer.body, media_type, tolerance)
    if difference:
        distance = measure_distance(expected, answer.body, media_type)
        details = {"largest_difference": distance, "tolerance": tolerance} if math.isfinite(distance) else {}
        raise WrongAnswer(difference, details)


def check_no_new_files(models: Path, extra_files: list[str], manifest: Manifest) -> None:
    """Raises SilentRebuild if a file appeared beside the ``extra_files`` since the start began: an engine that did not fit
    was built again, which takes minutes, and the next container would do so again."""
    if not any(component.artifacts for component in manifest.components.values()):
        return
    new = sorted(set(list_extra_files(models, manifest.listed)) - set(extra_files))
    if new:
        raise SilentRebuild(f"files appeared beside the baked ones: {', '.join(new[:20])}")


def warm_buckets(component: str, session: Session, timeline: Timeline) -> None:
    """Run every bucket that has not run yet.

    Raises SessionFault: a bucket ran when it was baked, so that this machine, or its free memory, is not enough.
    """
    buckets = cast("BucketSession", session)
    for shape in buckets.find_cold():
        bucket = describe_lengths(shape)
        with timeline.phase(f"bucket {component}: {bucket}"):
            try:
                buckets.warm(shape)
            except Exception as error:  # ONNX Runtime's exceptions share no base class but this
                raise SessionFault(f"{component}: the bucket {bucket} cannot be run: {error}") from error
    buckets.end_warming()
