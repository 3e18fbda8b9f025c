"""Audio for the page: clips small enough to be part of it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdasr.data.audio import read_audio
from kdasr.data.places import Place, parse_table
from kdasr.data.utterances import audio_of
from kdasr.files import read_table

OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz; what else there is goes as Vorbis
QUALITY = 0.94  # of libsndfile, 0 to 1, 1 the smallest: about 22 kbit/s of Opus, at which speech is clear


@dataclass
class Clips:
    """Audio by utterance as data: URIs, and what there is to say of the rest."""

    uris: dict[str, str] = field(default_factory=dict)
    told: str = ""


def sources(places: Sequence[str]) -> dict[str, tuple[Place, tuple[float, float] | None]]:
    """Utterance: (file, its span in seconds or None), from data directories or wav.scp files.

    Raises:
        UserError: no such file, a malformed line, or a command where a file was expected.
    """
    found: dict[str, tuple[Place, tuple[float, float] | None]] = {}
    for place in map(Path, places):
        if place.is_dir():
            found |= {name: (row.audio, row.span) for name, row in audio_of(place).items()}
        else:
            found |= {name: (path, None) for name, path in parse_table(read_table(place), place).items()}
    return found


def clips(wanted: Sequence[str], known: Mapping[str, tuple[Place, tuple[float, float] | None]], room: float) -> Clips:
    """Clips of the first utterances wanted that fit.

    Args:
        wanted: utterances, the most interesting first.
        known: of `sources`.
        room: characters of the page.
    """
    made, used = Clips(), 0
    missing = [name for name in wanted if name not in known]
    for name in wanted:
        if name not in known:
            continue
        uri = encode(*known[name])
        if used + len(uri) > room:
            break
        used += len(uri)
        made.uris[name] = uri
    made.told = f"Audio of {len(made.uris):,} of {len(wanted):,} utterances ({used / 1e6:.1f} MB)"
    if missing:
        made.told += f"; {len(missing):,} are not in --audio, as {missing[0]}"
    if len(made.uris) + len(missing) < len(wanted):
        made.told += f"; more did not fit into {room / 1e6:g} MB (--audio_mb)"
    return made


def encode(place: Place, span: tuple[float, float] | None) -> str:
    """A recording, or a span of it, as a data: URI of Ogg."""
    import soundfile

    samples, rate = read_audio(place)
    if span is not None:
        end = len(samples) if span[1] < 0 else round(span[1] * rate)
        samples = samples[round(span[0] * rate) : end]
    stream = io.BytesIO()
    subtype = "OPUS" if rate in OPUS_RATES else "VORBIS"
    soundfile.write(stream, samples, rate, format="OGG", subtype=subtype, compression_level=QUALITY)
    return "data:audio/ogg;base64," + base64.b64encode(stream.getvalue()).decode()
