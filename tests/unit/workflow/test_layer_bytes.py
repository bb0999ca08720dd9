"""The bytes of an image's layers by kind."""

from __future__ import annotations

from prebake.docker.images.images import ImageFacts, LayerFacts
from prebake.workflow.start_check.counted_start import layer_bytes


def facts(*names: str) -> ImageFacts:
    """Layers of 1, 2, 4 … bytes."""
    layers = tuple(LayerFacts(f"sha256:{number}", 2**number, name) for number, name in enumerate(names))
    return ImageFacts("image", "sha256:0", sum(layer.size for layer in layers), layers, {})


def test_an_image_that_prebake_wrote() -> None:
    names = (
        "FROM base",
        "FROM base",
        "prebake: dependencies",
        "prebake: unet/model.safetensors",
        "prebake: published files",
        "prebake: published files 2",
        "prebake: vae (derived)",
        "prebake: unet engine-0123456789ab",
        "prebake: graphs",
        "prebake: code",
        "COPY notes /notes",
    )
    assert layer_bytes(facts(*names)) == {
        "base": 1 + 2,
        "dependencies": 4,
        "weights": 8 + 16 + 32,
        "derived": 64,
        "compiled": 128,
        "graphs": 256,
        "code": 512,
        "other": 1024,
    }


def test_an_image_of_somebody_else() -> None:
    assert layer_bytes(facts("ADD rootfs", "RUN pip install torch")) == {"other": 3}


def test_a_base_with_layers_of_other_names() -> None:
    assert layer_bytes(facts("/bin/sh -c #(nop) ADD file", "RUN apt-get", "prebake: code")) == {"base": 3, "code": 4}
