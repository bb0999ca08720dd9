"""What a checkpoint that sees pictures says of how they are prepared, and of its labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.beginnings.facts import Facts
from prebake.workflow.beginnings.folder import CONFIG, Folder
from prebake.workflow.beginnings.known_keys import check_keys
from prebake.workflow.beginnings.labels import activation, check_labels
from prebake.workflow.beginnings.samples import draw_picture

_PROCESSOR = "preprocessor_config.json"
_KNOWN = ("ViT", "DeiT", "CLIP", "Bit", "Siglip", "Pvt", "MobileNetV1", "Blip", "ChineseCLIP")
_CHANNELS = 3
# What the export takes over from the processor, and what decides nothing.
_BAKED = {
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize",
    "image_mean", "image_std", "do_convert_rgb",  # pictures are in RGB before the processor sees them
}  # fmt: skip
_BESIDE = {
    "image_processor_type", "feature_extractor_type", "processor_class", "_valid_processor_keys", "data_format",
    "input_data_format", "device", "return_tensors", "disable_grouping", "default_to_square", "use_fast", "backend",
    "_processor_class", "transformers_version",
}  # fmt: skip
_SIZES = ({"shortest_edge"}, {"height", "width"})


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
    stem = kind.removesuffix("Fast").removesuffix("Pil").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if stem not in _KNOWN:
        known = ", ".join(f"{each}ImageProcessor" for each in _KNOWN)
        folder.problems.append(Problem(_PROCESSOR, f"the processor is {kind}", f"known are {known}"))
    check_keys(folder, _PROCESSOR, says, _BAKED, _BESIDE)
    size = says.get("size")
    if isinstance(size, dict) and {key for key, value in size.items() if value is not None} not in _SIZES:
        folder.problems.append(
            Problem(_PROCESSOR, f"size has {', '.join(size)}", "known are shortest_edge, or height and width")
        )
    if isinstance(size, dict) and "shortest_edge" in size and says.get("do_center_crop") is False:
        folder.problems.append(Problem(_PROCESSOR, "pictures are not cropped", "the graph is for one size"))
