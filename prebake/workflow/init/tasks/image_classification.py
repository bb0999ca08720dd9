"""Image classification: its image processor and its labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.init.checkpoint_folder import CONFIG, CheckpointFolder, TaskContents
from prebake.workflow.init.known_keys import check_keys
from prebake.workflow.init.tasks.labels import check_labels, choose_activation
from prebake.workflow.init.tasks.sample_inputs import make_png

_PROCESSOR = "preprocessor_config.json"
_KNOWN = ("ViT", "DeiT", "CLIP", "Bit", "Siglip", "Pvt", "MobileNetV1", "Blip", "ChineseCLIP")
_CHANNELS = 3
# Keys of the processor that the export bakes, and keys without effect.
_BAKED = {
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize",
    "image_mean", "image_std", "do_convert_rgb",  # images are RGB before the processor sees them
}  # fmt: skip
_WITHOUT_EFFECT = {
    "image_processor_type", "feature_extractor_type", "processor_class", "_valid_processor_keys", "data_format",
    "input_data_format", "device", "return_tensors", "disable_grouping", "default_to_square", "use_fast", "backend",
    "_processor_class", "transformers_version",
}  # fmt: skip
_SIZES = ({"shortest_edge"}, {"height", "width"})


def read_image_classifier(folder: CheckpointFolder, config: Mapping[str, Any]) -> TaskContents:
    """The contents of an image of a classifier whose processor resizes, crops, rescales and normalizes, and no more."""
    if folder.require(_PROCESSOR, "save it by AutoImageProcessor's save_pretrained"):
        _check_processor(folder)
    if config.get("num_channels", _CHANNELS) != _CHANNELS:
        folder.problems.append(
            Problem(CONFIG, f"num_channels is {config['num_channels']}", "init supports RGB images only")
        )
    return TaskContents(
        files=(_PROCESSOR,),
        samples={"sample.png": make_png()},
        values={"activation": choose_activation(config, check_labels(folder, config))},
    )


def _check_processor(folder: CheckpointFolder) -> None:
    processor = folder.document(_PROCESSOR)
    kind = str(processor.get("image_processor_type") or processor.get("feature_extractor_type") or "ViTImageProcessor")
    stem = kind.removesuffix("Fast").removesuffix("Pil").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if stem not in _KNOWN:
        known = ", ".join(f"{name}ImageProcessor" for name in _KNOWN)
        folder.problems.append(Problem(_PROCESSOR, f"the processor is {kind}", f"init supports {known}"))
    check_keys(folder, _PROCESSOR, processor, _BAKED, _WITHOUT_EFFECT)
    size = processor.get("size")
    if isinstance(size, dict) and {key for key, value in size.items() if value is not None} not in _SIZES:
        folder.problems.append(
            Problem(_PROCESSOR, f"size has {', '.join(size)}", "init supports shortest_edge, or height and width")
        )
    if isinstance(size, dict) and "shortest_edge" in size and processor.get("do_center_crop") is False:
        folder.problems.append(Problem(_PROCESSOR, "images are not cropped", "the graph is exported for one size"))
