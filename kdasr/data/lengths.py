"""How many input frames each utterance of a data directory has, whether its features were made or not."""

from __future__ import annotations

from pathlib import Path

from kdasr.data.audio import read_audio
from kdasr.data.places import parse_table
from kdasr.data.utterances import parse_segment
from kdasr.errors import UserError
from kdasr.files import read_numbers, read_table

FRAMES_PER_SECOND = 100


def input_frames(data: str | Path) -> dict[str, int]:
    """Frames of 10 ms by utterance: from utt2num_frames, or utt2dur, or segments, or the audio itself.

    Raises:
        UserError: none of these is there, or one is malformed.
    """
    data = Path(data)
    if (data / "utt2num_frames").is_file():
        return {key: int(count) for key, count in read_numbers(data / "utt2num_frames").items()}
    if (data / "utt2dur").is_file():
        return _frames(read_numbers(data / "utt2dur"))
    if not (data / "wav.scp").is_file():
        raise UserError(f"{data}: has no utt2num_frames, utt2dur or wav.scp; name a data directory")
    recordings = parse_table(read_table(data / "wav.scp"), data / "wav.scp")
    lengths: dict[str, float] = {}

    def seconds(recording: str) -> float:
        if recording not in lengths:
            samples, rate = read_audio(recordings[recording], recording)
            lengths[recording] = len(samples) / rate
        return lengths[recording]

    if not (data / "segments").is_file():
        return _frames({key: seconds(key) for key in recordings})
    found = {}
    for key, row in read_table(data / "segments").items():
        recording, (start, end) = parse_segment(data / "segments", key, row, recordings)
        found[key] = (seconds(recording) if end == -1 else end) - start
    return _frames(found)


def _frames(seconds: dict[str, float]) -> dict[str, int]:
    return {key: max(0, round(length * FRAMES_PER_SECOND)) for key, length in seconds.items()}
