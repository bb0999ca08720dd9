"""HunyuanVideo-Foley as most people deploy it: torch and transformers, loaded by the first request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from images.foley.media.mux import add_sound
from images.foley.media.sound import WAV, write_wav

if TYPE_CHECKING:
    from images.foley.nets.pipeline import Networks

KINDS = {"video": bytes, "steps": int, "guidance": float, "seed": int}
"""The types of a form's fields, which arrive as text; all others stay text."""


class NaiveFoley:
    """The networks in memory."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    def generate(self, fields: Mapping[str, Any]) -> tuple[bytes, str]:
        """The answer to a form and its media type. A field that is left out has its default."""
        from images.foley.nets.pipeline import Order, generate

        given = dict(fields)
        output = given.pop("output", "wav")
        given.pop("trim", None)  # clips that are too long are always cut
        order = Order(**{name: KINDS.get(name, str)(value) for name, value in given.items()})
        samples = generate(self._networks, order)
        return add_sound(order.video, samples) if output == "video" else (write_wav(samples), WAV)


def load(checkpoint: Path) -> NaiveFoley:
    """Everything from the published files, encoders by ``from_pretrained``. Imports torch and transformers."""
    import torch
    from transformers import AutoTokenizer, ClapTextModelWithProjection, SiglipVisionModel

    from images.foley.nets import pipeline, published

    def unpickle(name: str) -> Any:
        return torch.load(checkpoint / name, map_location="cpu", weights_only=True)

    tokenizer = AutoTokenizer.from_pretrained(checkpoint / "clap", local_files_only=True)
    clap = ClapTextModelWithProjection.from_pretrained(checkpoint / "clap", local_files_only=True).eval()
    siglip2 = SiglipVisionModel.from_pretrained(checkpoint / "siglip2", local_files_only=True).eval()
    name = published.find_transformer(checkpoint)
    networks = pipeline.Networks(
        tokenize=lambda texts: tokenizer(texts, padding=True, return_tensors="pt"),
        clap=lambda ids, mask: clap(input_ids=ids, attention_mask=mask).last_hidden_state,
        siglip2=lambda pixels: siglip2(pixel_values=pixels).pooler_output,
        synchformer=published.load_synchformer(unpickle(published.SYNCHFORMER)),
        transformer=published.load_transformer(unpickle(name), name),
        decoder=published.load_decoder(unpickle(published.VAE)),
    )
    return NaiveFoley(networks)
