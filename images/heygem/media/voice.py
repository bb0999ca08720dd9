"""The voice: any file with sound, to the samples that the network hears and those that the answer carries."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av import AudioFrame

from entrypoints.contract import BadRequest
from images.heygem.media.libav import SOUNDS, open_media, strict_decoder, without_tags
from images.heygem.media.sizes import AUDIO, HEARD_RATE, SOUND_RATE
from images.heygem.media.timing import Samples, Voice, count_frames

HIGHEST_RATE = 768_000
"""The highest sample rate of a sent file: the resampler's memory and time grow with it."""
SHORTEST, LONGEST = Fraction(2, 25), Fraction(60)
"""Seconds; two frames at least."""
SLACK = Fraction(1, 10)
"""Seconds by which a file may be longer than ``LONGEST``: codecs fill their last packet."""
SILENCE = 1e-3
"""Of full scale, -60 dB: if no sample is louder, the file has no voice."""
_CUT = Fraction(1, 2)
_UNKNOWN_SIZE = 0x7FFF_F000
"""A RIFF size from here on means that the writer did not know the size."""


def read_voice(data: bytes) -> Voice:
    """The first sound stream of a file. Raises BadRequest if there is none, or it is damaged, silent, too short or too long."""
    _check_riff(data)
    with open_media(without_tags(data), SOUNDS, AUDIO) as container:
        if not container.streams.audio:
            raise BadRequest("the file has no sound", field=AUDIO)
        stream = container.streams.audio[0]
        declared = (stream.duration or 0) * (stream.time_base or Fraction(0))
        heard, sound = Channel(HEARD_RATE), Channel(SOUND_RATE)
        seconds = Fraction(0)
        strict_decoder(stream, AUDIO)
        for frame in container.decode(stream):
            _check_rate(frame.sample_rate)
            seconds += Fraction(frame.samples, frame.sample_rate)
            _check_longest(seconds)
            heard.add(frame)
            sound.add(frame)
        _check_length(seconds, declared)
        return _check_samples(Voice(heard.take(seconds), sound.take(seconds), count_frames(seconds)))


class Channel:
    """Frames of any form, the mean of their channels at ``rate``: libav's own mix of two like ones is louder."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        # Channels side by side: PyAV 18 reads past the end of a frame's list of planes where there are 8 or more.
        self._resampler = av.AudioResampler(format="flt", rate=rate)
        self._parts: list[Samples] = []

    def add(self, frame: AudioFrame | None) -> None:
        for part in self._resampler.resample(frame):
            self._parts.append(part.to_ndarray().reshape(part.samples, -1).mean(axis=1))

    def take(self, seconds: Fraction) -> Samples:
        """All samples; resampling rounds, so they are cut or filled to ``seconds``."""
        self.add(None)
        samples, wanted = np.concatenate(self._parts), round(seconds * self._rate)
        return np.pad(samples[:wanted], (0, max(wanted - len(samples), 0)))


def _check_riff(data: bytes) -> None:
    """libav plays what is there of a wav file that was cut off."""
    size = int.from_bytes(data[4:8], "little")
    if data.startswith(b"RIFF") and len(data) - 8 < size < _UNKNOWN_SIZE:
        raise BadRequest(f"the file is cut off: it declares {size + 8} bytes, but {len(data)} arrived", field=AUDIO)


def _check_rate(rate: int) -> None:
    if rate > HIGHEST_RATE:
        raise BadRequest(f"the sound has {rate} samples a second: send at most {HIGHEST_RATE}", field=AUDIO)


def _check_longest(seconds: Fraction) -> None:
    if seconds > LONGEST + SLACK:
        raise BadRequest(f"the sound is longer than {int(LONGEST)} s: send at most that", field=AUDIO)


def _check_length(seconds: Fraction, declared: Fraction) -> None:
    if seconds < declared - _CUT:
        raise BadRequest(
            f"the file is cut off: it declares {float(declared):.2f} s, but has {float(seconds):.2f} s", field=AUDIO
        )
    if seconds < SHORTEST:
        raise BadRequest(f"the sound is {float(seconds):.3f} s long: send at least {float(SHORTEST)} s", field=AUDIO)


def _check_samples(voice: Voice) -> Voice:
    if not np.isfinite(voice.sound).all():
        raise BadRequest("the file has samples that are not numbers", field=AUDIO)
    if float(np.abs(voice.heard).max()) < SILENCE:
        raise BadRequest("the file is silent: send a file with a voice", field=AUDIO)
    return voice
