"""Calibration sets: representative inputs that the ranges of static quantisation are taken from."""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from prebake.bake.arrays import Array
from prebake.bake.errors import BakeError


def read_samples(image: str, component: str, file: str) -> Sequence[Mapping[str, Array]]:
    """The samples of an .npz of the image's folder: an array for each input, the samples along its first axis.

    Raises BakeError where the file is none, or its arrays are of different lengths.
    """
    try:
        folder = Path(next(iter(importlib.import_module(f"images.{image}").__path__)))
        with np.load(folder / file, allow_pickle=False) as arrays:
            inputs = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, ModuleNotFoundError) as error:
        raise _unusable(image, component, file, f"cannot be read: {error}") from error
    lengths = {name: len(array) if array.ndim else 0 for name, array in inputs.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        raise _unusable(image, component, file, f"has not one number of samples for each input: {lengths}")
    count = next(iter(lengths.values()))
    return [{name: array[number] for name, array in inputs.items()} for number in range(count)]


def _unusable(image: str, component: str, file: str, why: str) -> BakeError:
    return BakeError(
        f"{component}: the calibration set images/{image}/{file} {why}.",
        next_action="Write it by numpy.savez: an array for each input, the samples along its first axis.",
    )


def no_samples(component: str) -> BakeError:
    return BakeError(
        f"{component}: static int8 wants a calibration set, and there is none.",
        next_action="Give bake.graph(…, calibration=[…]) inputs of real requests, or name an .npz of the image's folder in "
        "image.yaml: precision: {type: int8, activations: static, calibration: FILE.npz}.",
    )
