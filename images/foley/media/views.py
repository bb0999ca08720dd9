"""The frames of a clip for the two visual encoders, from one pass over the clip."""

from __future__ import annotations

from collections.abc import Iterable

from entrypoints.contract import BadRequest
from images.foley.media.frames import IMAGE_RATE, SYNC_RATE, WINDOW, Clock
from images.foley.media.pixels import Views
from images.foley.media.scaling import scale_image, scale_sync
from images.foley.media.video import FIELD, Frame, to_rgb

SHORTEST = 1.0
"""Seconds that give one window of frames at any frame rate in use; at 25 a second 0.64 s do."""


def take_views(frames: Iterable[Frame]) -> Views:
    """Scale frames as they arrive and release the originals: a 15 s clip takes at most 160 MB, whatever its resolution.

    Raises BadRequest if there are too few frames for one window.
    """
    views, image_clock, sync_clock = Views([], []), Clock(IMAGE_RATE), Clock(SYNC_RATE)
    for time, frame in frames:
        images, syncs = image_clock.take(time), sync_clock.take(time)
        if not images and not syncs:
            continue
        rgb = to_rgb(frame)
        views.image.extend([scale_image(rgb)] * images if images else ())
        views.sync.extend([scale_sync(rgb)] * syncs if syncs else ())
    if len(views.sync) < WINDOW:
        raise BadRequest(
            f"the video is too short: it has {len(views.sync)} frames at {SYNC_RATE:g} a second, but the model needs "
            f"{WINDOW}; send {SHORTEST:g} s or more",
            field=FIELD,
        )
    return views
