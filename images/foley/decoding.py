"""What reads the video of a request: called in a process of its own, which is killed if a file takes too long or too much.

The module imports the decoders. `model.py` names its functions, and imports them as little as it imports the decoders.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from images.foley.media.mux import add_sound
from images.foley.media.pixels import Views
from images.foley.media.video import check_length, read_frames
from images.foley.media.views import take_views


def decode_video(data: bytes, trim: bool) -> Views:
    """The frames that the encoders see. Raises BadRequest for a video that cannot be used."""
    check_length(data, trim=trim)
    return take_views(read_frames(data))


def write_video(data: bytes, samples: NDArray[np.float32]) -> tuple[bytes, str]:
    """The video with its sound, and its media type: the file is read once more. Raises BadRequest as `add_sound` does."""
    return add_sound(data, samples)
