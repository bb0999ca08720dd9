"""Z-Image-Turbo baked: three graphs, the transformer's published files as they are, and the warm-up request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim

from images.zimage import naive, nets
from images.zimage.checkpoint import check_checkpoint
from images.zimage.facts import FILE, Facts
from images.zimage.request import LARGEST
from images.zimage.sequence import Part, caption_part, image_part, rope_table
from prebake.bake.authoring import BakeError

if TYPE_CHECKING:
    from prebake.bake.authoring import Bake

Case = Mapping[str, Tensor]

TOKENS = 512
"""Largest number of tokens of a prompt: the pipeline's ``max_sequence_length``."""
TOLERANCE = 1e-4
"""Of an output whose largest element is 1, or less; of a larger one's, so much of it: Qwen's hidden states have elements
of many thousands, and float32 has seven digits."""
HALF_TOLERANCE = 0.02
"""Of the warm-up's pixels, means of blocks from 0 to 1, where anything is computed with 8 bits of precision. Measured on a
CPU, over samples of three seeds: 0.0041 to 0.0049."""

WARMUP: dict[str, str | int] = {
    "prompt": "a river in the light of the morning",
    "width": 96,
    "height": 64,
    "steps": 2,
    "output": "pixels",
}
PROMPTS = ("a cat", " spaces \n around ", "", "<tool_response>x</tool_response>", "<|im_end|>", "{{ 1 }}")
"""Prompts that a chat template could change, instead of putting them into the middle of a constant text."""


def export(bake: Bake) -> None:
    """All components of ``image.yaml``; the answer to the warm-up request is that of diffusers' own pipeline."""
    check_checkpoint(bake.checkpoint, {each.path for each in (*bake.settings.ship, *bake.settings.reshard)})
    pipeline, facts = _give_reference(bake, TOLERANCE)
    _export_text_encoder(bake, nets.TextEncoder(pipeline.text_encoder).eval(), pipeline.text_encoder.config.vocab_size)
    _export_transformer(bake, nets.Transformer(pipeline.transformer).eval(), facts)
    _export_vae(bake, nets.Decoder(pipeline.vae).eval(), facts)


def export_torch(bake: Bake) -> None:
    """The files that torch needs besides the published ones; the reference is diffusers' own in float32, here too."""
    check_checkpoint(bake.checkpoint, shipped=())
    precisions = {component.precision.type for component in bake.settings.components.values()}
    _give_reference(bake, TOLERANCE if precisions == {"fp32"} else HALF_TOLERANCE)


def _give_reference(bake: Bake, tolerance: float) -> tuple[Any, Facts]:
    """Add the settings of the serving code, and the warm-up request with its answer. Returns the pipeline and the settings."""
    published = naive.load(bake.checkpoint)
    facts = read_pipeline(published.pipeline)
    bake.asset(FILE, facts.to_json())
    bake.reference(WARMUP, *published.generate(WARMUP), tolerance=tolerance)
    return published.pipeline, facts


def read_pipeline(pipeline: Any) -> Facts:
    """The settings of the serving code. Raises BakeError if the chat template does more than frame a prompt."""
    before, after = _frame(pipeline.tokenizer)
    config = pipeline.transformer.config
    return Facts(
        before=before,
        after=after,
        tokens=TOKENS,
        channels=config.in_channels,
        pixels=pipeline.vae_scale_factor,
        patch=2,
        axes=tuple(config.axes_dims),
        theta=config.rope_theta,
        shift=pipeline.scheduler.config.shift,
    )


def _frame(tokenizer: Any) -> tuple[str, str]:
    def put(prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        text: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=True
        )
        return text

    before, _, after = put("PROMPT").partition("PROMPT")
    changed = [prompt for prompt in PROMPTS if put(prompt) != before + prompt + after]
    if changed:
        raise BakeError(
            f"tokenizer: its chat template changes the prompts {', '.join(map(repr, changed))}.",
            next_action="use the template of the published revision",
        )
    return before, after


def _export_text_encoder(bake: Bake, network: nets.TextEncoder, vocabulary: int) -> None:
    cases = [{"tokens": (torch.arange(count)[None] * 37 + count) % vocabulary} for count in (23, 8, 60)]
    _convert(bake, "text_encoder", network.used_tensors())
    axes = {"tokens": {1: Dim("tokens", min=2, max=TOKENS)}}
    bake.graph("text_encoder", network, cases, ["caption"], axes, _tolerance(network, cases[0]))


def _export_transformer(bake: Bake, network: nets.Transformer, facts: Facts) -> None:
    cases = [
        transformer_case(network, facts, *sizes) for sizes in ((40, 8, 12, 0.3), (7, 16, 16, 0.0), (100, 10, 6, 0.9))
    ]
    _convert(bake, "transformer", network.network.state_dict())
    image = Dim("image", min=2, max=(LARGEST // facts.multiple) ** 2)
    caption = Dim("caption", min=2, max=TOKENS)
    axes = {
        f"{part}{what}": {1: axis}
        for part, axis in (("image", image), ("caption", caption))
        for what in ("", "_padding", "_rope")
    }
    bake.graph("transformer", network, cases, ["velocity"], axes, _tolerance(network, cases[0]))


def _export_vae(bake: Bake, network: nets.Decoder, facts: Facts) -> None:
    cases = [{"latents": draw(1, facts.channels, *size)} for size in ((8, 12), (16, 10), (10, 8))]
    _convert(bake, "vae", network.used_tensors())
    most = LARGEST // facts.pixels
    axes = {"latents": {2: Dim("rows", min=2, max=most), 3: Dim("columns", min=2, max=most)}}
    bake.graph("vae", network, cases, ["pixels"], axes, TOLERANCE)


def transformer_case(network: nets.Transformer, facts: Facts, words: int, rows: int, columns: int, time: float) -> Case:
    """Random inputs for a caption with this number of words, and a latent of rows and columns."""
    caption = caption_part(draw(1, words, network.network.config.cap_feat_dim).numpy())
    image = image_part(draw(facts.channels, rows, columns).numpy(), facts.patch, caption)

    def inputs(name: str, part: Part) -> dict[str, Any]:
        rope = rope_table(part.positions, facts.axes, facts.theta)
        return {name: part.tokens, f"{name}_padding": part.padding, f"{name}_rope": rope}

    arrays = {**inputs("image", image), **inputs("caption", caption), "time": np.array([time], np.float32)}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _convert(bake: Bake, component: str, tensors: Mapping[str, Tensor]) -> None:
    """Convert the weights that are not shipped as published to float32."""
    if not any(each.path.startswith(f"{component}/") for each in (*bake.settings.ship, *bake.settings.reshard)):
        bake.convert(component, tensors)


def _tolerance(network: torch.nn.Module, case: Case) -> float:
    with torch.no_grad():
        return TOLERANCE * max(1.0, float(network(**case).abs().max()))


def draw(*shape: int) -> Tensor:
    """Random numbers of unit size, from numpy, so that the cases are the same on every machine."""
    return torch.from_numpy(np.random.RandomState(len(shape)).standard_normal(shape).astype(np.float32))
