"""The model as most people deploy it: torch, transformers and diffusers, loaded by the first request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

from images.heygem.media.archive import ZIP, read_archive, write_archive
from images.heygem.media.colours import JSON, write_colours
from images.heygem.media.faces import read_face
from images.heygem.media.movie import write_movie
from images.heygem.media.sizes import HEARD_RATE
from images.heygem.media.timing import Voice, pendulum, window_indices
from images.heygem.media.voice import read_voice
from images.heygem.schedule import make_noise

FRAMES_AT_ONCE = 4
MP4 = "video/mp4"


class NaiveHeyGem:
    """The published networks and the framework's own scheduler."""

    def __init__(self, checkpoint: Path) -> None:
        def load(kind: Any, folder: str) -> Any:
            return kind.from_pretrained(checkpoint / folder, local_files_only=True)

        self._extractor = load(Wav2Vec2FeatureExtractor, "wav2vec2")
        self._wav2vec2 = load(Wav2Vec2Model, "wav2vec2").float().eval()
        self._unet = load(UNet2DConditionModel, "unet").eval()
        self._vae = load(AutoencoderKL, "vae").eval()
        self._scheduler = load(DDIMScheduler, "scheduler")
        self._window = int(json.loads((checkpoint / "model_index.json").read_bytes())["audio_window"])

    def generate(self, fields: Mapping[str, Any]) -> tuple[bytes, str]:
        """The answer to a form and its media type. A field that is left out has its default."""
        voice = read_voice(fields["audio"])
        kind, write = ("json", write_colours) if fields.get("output") == "frames" else ("mp4", None)
        many = read_archive(fields["faces"]) if "faces" in fields else {"answer": fields["face"]}
        answers = {}
        for name, face in many.items():
            batches = self.draw(voice, face, int(fields.get("steps", 4)), int(fields.get("seed", 1)))
            answers[f"{name}.{kind}"] = write(batches) if write else write_movie(batches, voice.sound)
        if "faces" in fields:
            return write_archive(answers), ZIP
        return answers.popitem()[1], JSON if write else MP4

    def draw(self, voice: Voice, face: bytes, steps: int, seed: int) -> Iterator[NDArray[np.float32]]:
        """Pictures ``[n, 3, 256, 256]`` in 0..1."""
        windows = self._listen(voice)
        faces = self._look(np.stack(list(read_face(face, voice.frames))))
        order = torch.from_numpy(pendulum(voice.frames, len(faces)))
        noise = torch.from_numpy(make_noise((4, 32, 32), seed))
        for start in range(0, voice.frames, FRAMES_AT_ONCE):
            frames = slice(start, start + FRAMES_AT_ONCE)
            yield self._denoise(noise, windows[frames], faces[order[frames]], steps).numpy()

    @torch.no_grad()
    def _listen(self, voice: Voice) -> Tensor:
        """The sound's features at each frame: ``[frames, tokens, features]``."""
        inputs = self._extractor(voice.heard, sampling_rate=HEARD_RATE, return_tensors="pt").input_values
        features: Tensor = self._wav2vec2(inputs).last_hidden_state[0]
        return features[torch.from_numpy(window_indices(voice.frames, len(features), self._window))]

    @torch.no_grad()
    def _look(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Latents ``[n, 4, 32, 32]``."""
        values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        modes = [self._vae.encode(some).latent_dist.mode() for some in torch.split(values, FRAMES_AT_ONCE)]
        return torch.cat(modes) * float(self._vae.config.scaling_factor)

    @torch.no_grad()
    def _denoise(self, noise: Tensor, windows: Tensor, faces: Tensor, steps: int) -> Tensor:
        """Pictures ``[n, 3, 256, 256]`` in 0..1."""
        latents = noise.repeat(len(windows), 1, 1, 1) * self._scheduler.init_noise_sigma
        self._scheduler.set_timesteps(steps)
        for time in self._scheduler.timesteps:
            predicted = self._unet(torch.cat([latents, faces], dim=1), time, encoder_hidden_states=windows).sample
            latents = self._scheduler.step(predicted, time, latents).prev_sample
        decoded: Tensor = self._vae.decode(latents / self._vae.config.scaling_factor).sample
        return (decoded / 2 + 0.5).clamp(0, 1)


def load(checkpoint: Path) -> NaiveHeyGem:
    """Everything from the published folders by ``from_pretrained``."""
    return NaiveHeyGem(checkpoint)
