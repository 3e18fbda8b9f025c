"""The voices of the synthetic demo corpus: who speaks, and how espeak-ng speaks for them.

espeak-ng's output depends on all that its process has spoken before, even with its random
seed set. So one process initialises it and never speaks itself: each utterance is spoken by a
forked child of it that sets the seed first. The same utterance then has the same samples whatever was
spoken before it and however many processes share the work. That process is itself a fork, made
while the program is small: forking a process that has scipy loaded costs twice as much. Hence numpy is imported
inside functions here, and what needs scipy is another file (recording.py).

All voices share one formant synthesiser. They differ as accents, pitches and vocal tracts do,
but far less than as many people would.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdasr.errors import UserError

if TYPE_CHECKING:
    import numpy as np

RATE = 16000  # Hz, of the corpus

# accent, variant, sex of every speaker: 30 for training, 4 for dev93, 8 for eval92, 2 for eval93, then a spare.
# Chosen for distinct pitch and spectral envelope; variants that are effects (robots, whispers) are left out.
VOICES: list[tuple[str, str, str]] = [
    (accent, variant, sex)
    for line in (
        "en-us M m1|en-us F linda|en-us M david|en-us F aunty|en-us M ed|en-us F steph3|en-us-nyc M norbert",
        "en-us F shelby|gmw/en M gustave|gmw/en F grandma|en-us M Nguyen|en-us F Alicia|en-gb-scotland M ian",
        "en-us-nyc F f3|en-us M Jacky|en-gb-x-rp F Annie|en-us M Lee|en-us F f1|en-us M rob|en-us-nyc F belinda",
        "en-us M boris|en-gb-x-rp F f2|en-us M m8|en-us M iven2",
        "en-us M Gene2|en-us F f5|en-us M michel|en-us-nyc F steph",
        "en-us M travis|en-us F Andrea|en-us-nyc M Andy|en-us F f4|gmw/en M john|en-us F anika|en-us M pablo",
        "en-gb-x-rp F steph2",
        "en-us M Alex|en-us-nyc F f1",
        "en-us M marcelo|en-us M mike2|en-us-nyc M Storm|en-us M edward|gmw/en M paul|en-us M antonio|en-us M Reed",
    )
    for accent, sex, variant in (entry.split() for entry in line.split("|"))
]

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback, not to a sound card
_UTF8 = 1  # espeakCHARS_UTF8
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Settings:
    """How hard the corpus is. `kdasr data mini --set NAME=VALUE` changes one."""

    train_speakers: int = 30  # speakers of the training set
    dev_speakers: int = 4  # speakers of dev93 alone, beside the training speakers
    test_speakers: int = 8  # speakers of eval92 alone, beside the training speakers
    unseen: float = 0.5  # share of dev and test utterances by speakers unseen in training
    marks: float = 0.08  # share of sentences with transcript marks
    rate_low: float = 155.0  # slowest speech, words a minute
    rate_high: float = 185.0  # fastest speech, words a minute
    pitch_spread: float = 8.0  # an utterance's pitch: its speaker's plus or minus this, espeak's 0-100 scale
    tract_low: float = 0.97  # shortest vocal tract of a speaker, 1 is the voice's own
    tract_high: float = 1.03  # longest vocal tract of a speaker
    snr_low: float = 18.0  # loudest noise, dB below the active speech
    snr_high: float = 32.0  # softest noise, dB below the active speech
    colour_low: float = 0.0  # noise spectrum 1/f^colour: 0 white
    colour_high: float = 1.5  # 1 pink, 2 brown
    reverb_low: float = 0.05  # shortest reverberation, seconds until it is 60 dB down
    reverb_high: float = 0.20  # longest reverberation, seconds
    direct_low: float = 10.0  # weakest direct sound, dB over the reverberant sound
    direct_high: float = 20.0  # strongest direct sound, dB
    tilt: float = 0.3  # a recording's filter y[m] = x[m] + a x[m-1], a within plus or minus this
    peak_low: float = -18.0  # softest recording, dB below full scale at its peak
    peak_high: float = -3.0  # loudest recording, dB
    silence_low: float = 0.05  # least silence before and after the speech, seconds
    silence_high: float = 0.20  # most silence before and after the speech, seconds
    burst_low: float = -14.0  # softest marked noise (a door slam, a breath), dB over the active speech
    burst_high: float = -6.0  # loudest marked noise, dB


@dataclass(frozen=True)
class Speaker:
    """One speaker of the corpus."""

    name: str  # three characters, the beginning of its utterance ids
    voice: str  # espeak's accent+variant
    sex: str  # M or F
    rate: float  # words a minute
    pitch: float  # espeak's 0-100 scale
    tract: float  # vocal tract length, 1 is the voice's own


def make_speakers(names: list[str], first: int, settings: Settings, seed: int) -> list[Speaker]:
    """Give voices VOICES[first:] to speakers; a speaker's manner depends on the seed and its voice only."""
    import numpy as np

    speakers = []
    for number, name in enumerate(names, first):
        rng = np.random.default_rng([seed, 1, number])
        accent, variant, sex = VOICES[number]
        speakers.append(
            Speaker(
                name,
                f"{accent}+{variant}",
                sex,
                rate=rng.uniform(settings.rate_low, settings.rate_high),
                pitch=50 + rng.uniform(-8, 8),
                tract=rng.uniform(settings.tract_low, settings.tract_high),
            )
        )
    return speakers


_parts: list[bytes] = []  # what espeak-ng has given back since the child began to speak


@_CALLBACK
def _receive(samples: Any, count: int, _events: Any) -> int:
    """espeak-ng's callback; it must live as long as the library, so it belongs to the module."""
    if samples and count > 0:
        _parts.append(ctypes.string_at(samples, 2 * count))
    return 0


class Espeak:
    """espeak-ng, initialised and silent: `say` has forked children speak."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise UserError(
                "espeakng_loader: not installed, and the synthetic demo corpus is spoken by it; "
                "pip install espeakng-loader (espeak-ng is GPL-3)"
            ) from None
        data = Path(espeakng_loader.get_data_path())
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.library.espeak_Info.restype = ctypes.c_char_p
        self.rate: int = self.library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data.parent), 0)
        if self.rate <= 0:
            raise UserError(f"{data}: espeak-ng finds no data there; reinstall espeakng-loader")
        self.library.espeak_SetSynthCallback(_receive)
        self.variants = {path.name for path in (data / "voices" / "!v").iterdir()}
        self._server: Connection | None = None

    def version(self) -> str:
        """espeak-ng's version, as `1.52.0`."""
        return self.library.espeak_Info(ctypes.byref(ctypes.c_char_p())).decode()

    def start(self) -> None:
        """Fork the process that forks the speakers; `say` does it if need be, early is cheaper."""
        ours, theirs = Pipe()
        if os.fork() == 0:
            try:
                ours.close()
                self._serve(theirs)
            finally:
                os._exit(0)
        theirs.close()
        self._server = ours

    def say(self, text: str, voice: str, rate: float, pitch: float) -> np.ndarray:
        """Speak a text.

        Args:
            text: what to say.
            voice: accent+variant.
            rate: words a minute.
            pitch: 0 to 100; a voice's own is 50.

        Returns:
            int16 (n,) at `self.rate` Hz.

        Raises:
            UserError: no such voice, or espeak-ng said nothing.
        """
        import numpy as np

        # an unknown variant would be ignored without a word
        if voice.partition("+")[2] not in self.variants:
            raise UserError(f"voice {voice}: this espeak-ng has no such variant; reinstall espeakng-loader")
        if self._server is None:
            self.start()
        assert self._server is not None
        self._server.send((text, voice, round(rate), round(pitch)))
        data = self._server.recv_bytes()
        if not data:
            raise UserError(f"voice {voice}: espeak-ng could not say {text!r}; reinstall espeakng-loader")
        return np.frombuffer(data, dtype=np.int16)  # (n,)

    def _serve(self, client: Connection) -> None:
        """Fork a child for every request until the client is gone; no samples say that it failed."""
        while True:
            try:
                request = client.recv()
            except EOFError:
                return
            child = os.fork()
            if child == 0:
                try:
                    client.send_bytes(self._speak(*request))
                    os._exit(0)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            if status:  # it died before it could answer
                client.send_bytes(b"")

    def _speak(self, text: str, voice: str, rate: int, pitch: int) -> bytes:
        self.library.espeak_ng_SetRandSeed(1)
        if self.library.espeak_SetVoiceByName(voice.encode()):
            return b""
        for parameter, value in ((1, rate), (3, pitch)):  # espeakRATE, espeakPITCH
            self.library.espeak_SetParameter(parameter, value, 0)
        data = text.encode()
        failed = self.library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
        return b"" if failed else b"".join(_parts)
