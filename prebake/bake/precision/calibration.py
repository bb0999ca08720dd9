"""Calibration sets: representative inputs from which static quantization derives value ranges."""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from prebake.bake.errors import BakeError
from prebake.bake.weights.numpy_arrays import Array


def read_calibration(image: str, component: str, file: str) -> Sequence[Mapping[str, Array]]:
    """The samples of an .npz file of the image's folder: an array for each input, samples along its first axis.

    Raises BakeError if the file cannot be read, or if its arrays have different numbers of samples.
    """
    try:
        folder = Path(next(iter(importlib.import_module(f"images.{image}").__path__)))
        with np.load(folder / file, allow_pickle=False) as arrays:
            inputs = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, ModuleNotFoundError) as error:
        raise _unusable(image, component, file, f"cannot be read: {error}") from error
    lengths = {name: len(array) if array.ndim else 0 for name, array in inputs.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        raise _unusable(image, component, file, f"has different numbers of samples: {lengths}")
    count = next(iter(lengths.values()))
    return [{name: array[number] for name, array in inputs.items()} for number in range(count)]


def _unusable(image: str, component: str, file: str, why: str) -> BakeError:
    return BakeError(
        f"{component}: the calibration set images/{image}/{file} {why}.",
        next_action="write it with numpy.savez: one array for each input, with the samples along its first axis",
    )


def missing_calibration(component: str) -> BakeError:
    return BakeError(
        f"{component}: static int8 needs a calibration set, and none was given.",
        next_action="pass inputs of real requests to bake.graph(…, calibration=[…]), or name an .npz file of the image's folder "
        "in image.yaml: precision: {type: int8, activations: static, calibration: FILE.npz}",
    )
