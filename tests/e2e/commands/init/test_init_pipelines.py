"""``prebake init`` from diffusers pipelines: the image draws what the framework's own pipeline draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMPipeline,
    DDPMPipeline,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
)

from entrypoints.contract import BadRequest
from prebake.docker.connection import Connection
from tests.support.collection.sampled import sampled
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Project, clone, reach, read_lock
from tests.support.models import pipelines
from tests.support.models.generated import Baked
from tests.support.serving import serving

Begun = Callable[..., Baked]


def drawn(pipeline: Any, folder: Path, seed: int, steps: int, **options: Any) -> np.ndarray[Any, Any]:
    """What the framework draws, as the means that a server gives."""
    loaded = pipeline.from_pretrained(folder, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(seed)
    pixels = loaded(generator=generator, num_inference_steps=steps, output_type="np", **options).images[0]
    height, width, colours = pixels.shape
    means: np.ndarray[Any, Any] = pixels.reshape(height // 8, 8, width // 8, 8, colours).mean(axis=(1, 3))
    return means


UNCONDITIONAL: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
    "ddpm": (pipelines.write_unconditional, DDPMPipeline, (1, 17, 60)),
    "ddim": (pipelines.write_implicit, DDIMPipeline, (11,)),
}


@pytest.mark.parametrize("kind", sampled(UNCONDITIONAL, "ddim"))
def test_pictures_out_of_noise_are_the_pipelines(begun: Begun, beginner: Project, kind: str) -> None:
    write, pipeline, counts = UNCONDITIONAL[kind]
    baked = begun(kind, write, "--license", "MIT")
    seed = 2**32 - 1
    for steps in counts:
        form = {"steps": steps, "seed": seed, "output": "numbers"}
        wanted = drawn(pipeline, beginner.root / "published" / kind, seed, steps)
        assert np.abs(np.array(baked.answer(form)["pixels"]) - wanted).max() < 1e-4
        other = np.array(baked.answer({**form, "seed": 0})["pixels"])
        assert np.abs(other - wanted).max() > 0.01
    if kind == "ddpm":
        with pytest.raises(BadRequest) as caught:
            baked.answer({**form, "steps": 55})
        assert "the nearest is" in str(caught.value)


def test_sentences_become_the_pipelines_pictures(begun: Begun, beginner: Project) -> None:
    scheduler = EulerDiscreteScheduler(**pipelines.TRAINED, prediction_type="v_prediction", timestep_spacing="trailing")
    baked = begun("draw", lambda folder: pipelines.write_text_to_image(folder, scheduler, half=True))
    folder = beginner.root / "published/draw"
    shipped = {file.path for file in read_lock(beginner, "draw").checkpoints["local"].files if file.ship}
    assert shipped == {"unet/diffusion_pytorch_model.safetensors"}
    for prompt, negative, steps, guidance in (
        ("the river of light", "", 7, 7.5),
        ("THE  Größe, 東京 🙂 " * 9, "rivers", 1, 3.0),
        ("", "", 3, 1.0),
    ):
        form = {"prompt": prompt, "negative_prompt": negative, "steps": steps, "guidance": guidance, "seed": 5}
        options = {"prompt": prompt, "negative_prompt": negative, "guidance_scale": guidance}
        wanted = drawn(StableDiffusionPipeline, folder, 5, steps, **options)
        got = np.array(baked.answer({**form, "output": "numbers"})["pixels"])
        assert np.abs(got - wanted).max() < 1e-4, (prompt, steps)
    with pytest.raises(BadRequest) as caught:
        baked.answer({**form, "prompt": "\ud800", "output": "numbers"})
    assert caught.value.field == "prompt"


def test_a_pipeline_becomes_a_container_that_draws_as_it_does(engine: Connection, tmp_path: Path) -> None:
    project = clone(tmp_path / "project", variables=reach(engine))
    folder = project.root / "published"
    pipelines.write_text_to_image(folder)
    project.run("init", "draws", "--from", "published", "--license", "MIT").expect(0)
    with image_name(engine) as tag:
        project.run("--model", "draws", "--tag", tag).expect(0)
        with serving(engine, tag) as service:
            answer = service.post(json={"prompt": "the river", "steps": 5, "seed": 9, "output": "numbers"})
            assert answer.status_code == 200, answer.text
            wanted = drawn(StableDiffusionPipeline, folder, 9, 5, prompt="the river")
            assert np.abs(np.array(answer.json()["pixels"]) - wanted).max() < 1e-4
            picture = service.post(json={"prompt": "the river", "steps": 2})
            assert picture.headers["content-type"] == "image/png"
            _, fields = service.refusal(422, json={"prompt": "the river", "steps": 0})
            assert list(fields) == ["steps"]
