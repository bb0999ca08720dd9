"""The measures that all of the image's code shares. Nothing is imported, so that the model need not import decoders."""

from __future__ import annotations

AUDIO, FACE, FACES = "audio", "face", "faces"
"""Fields of a request: files."""
SIDE = 256
"""Pixels of a face, and of a frame of the answer."""
HEARD_RATE = 16_000
"""Samples a second: wav2vec2's."""
SOUND_RATE = 48_000
"""The answer's."""
MOST_FACES = 16
"""Of an archive."""
