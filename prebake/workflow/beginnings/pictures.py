"""What a checkpoint that sees pictures says of how they are prepared, and of its labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.beginnings.facts import Facts
from prebake.workflow.beginnings.folder import CONFIG, Folder
from prebake.workflow.beginnings.labels import activation, check_labels
from prebake.workflow.beginnings.samples import draw_picture

_PROCESSOR = "preprocessor_config.json"
_KNOWN = ("ViT", "DeiT", "CLIP", "Bit", "Siglip", "Pvt", "MobileNetV1", "Blip", "ChineseCLIP")
_CHANNELS = 3


def read_classifier(folder: Folder, config: Mapping[str, Any]) -> Facts:
    """Image classification by a processor that resizes, crops, rescales and normalises, and no more."""
    if folder.require(_PROCESSOR, "save it by AutoImageProcessor's save_pretrained"):
        _check_processor(folder)
    if config.get("num_channels", _CHANNELS) != _CHANNELS:
        folder.problems.append(
            Problem(CONFIG, f"num_channels is {config['num_channels']}", "served are pictures in RGB")
        )
    return Facts(
        files=(_PROCESSOR,),
        samples={"sample.png": draw_picture()},
        values={"activation": activation(config, check_labels(folder, config))},
    )


def _check_processor(folder: Folder) -> None:
    says = folder.document(_PROCESSOR)
    kind = str(says.get("image_processor_type") or says.get("feature_extractor_type") or "ViTImageProcessor")
    stem = kind.removesuffix("Fast").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if stem not in _KNOWN:
        known = ", ".join(f"{each}ImageProcessor" for each in _KNOWN)
        folder.problems.append(Problem(_PROCESSOR, f"the processor is {kind}", f"known are {known}"))
    size = says.get("size")
    if isinstance(size, dict) and "shortest_edge" in size and says.get("do_center_crop") is False:
        folder.problems.append(Problem(_PROCESSOR, "pictures are not cropped", "the graph is for one size"))
