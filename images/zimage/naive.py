"""Z-Image-Turbo as most people deploy it: diffusers' own pipeline, loaded by the first request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ZImagePipeline

from images.zimage.pictures import Picture, write_answer
from images.zimage.request import FIELDS, Request, from_form

DEFAULTS = {field.name: field.default for field in FIELDS if field.default is not None}
KINDS = {field.name: int if field.kind == "integer" else str for field in FIELDS}
"""The types of a form's fields, which arrive as text."""


class NaiveZImage:
    """The pipeline in memory, in float32."""

    def __init__(self, folder: Path) -> None:
        self.pipeline = ZImagePipeline.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        self.pipeline.set_progress_bar_config(disable=True)

    def generate(self, fields: Mapping[str, Any]) -> tuple[bytes, str]:
        """The answer to a form and its media type. A field that is left out has its default."""
        given = {name: KINDS[name](value) for name, value in {**DEFAULTS, **fields}.items()}
        request = from_form(given)
        answer = write_answer(self.paint(request), request.output)
        return answer.body, answer.media_type

    def paint(self, request: Request) -> list[Picture]:
        """All images in one batch, each with a generator of its own. The latents are the output of the last step."""
        latents: list[torch.Tensor] = []

        def keep(_: Any, step: int, __: Any, given: dict[str, Any]) -> dict[str, Any]:
            if step == request.steps - 1:
                latents.extend(given["latents"])
            return given

        pixels = self.pipeline(
            request.prompt,
            height=request.height,
            width=request.width,
            num_inference_steps=request.steps,
            guidance_scale=0.0,
            num_images_per_prompt=request.images,
            generator=[torch.Generator().manual_seed(seed) for seed in request.seeds()],
            callback_on_step_end=keep,
            output_type="np",
        ).images
        return [Picture(latent.numpy(), picture) for latent, picture in zip(latents, pixels, strict=True)]


def load(checkpoint: Path) -> NaiveZImage:
    """The model from a checkpoint folder, which is the pipeline's."""
    return NaiveZImage(checkpoint)
