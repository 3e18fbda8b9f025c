"""Transcripts as text: lines, JSON, subtitles (srt, vtt), and sclite's trn."""

from __future__ import annotations

import json
from dataclasses import asdict

from kdasr.runtime.recognizer import Transcript, Word
from kdasr.runtime.settings import SUBTITLES

# Of a subtitle, as broadcasters set them: letters of a line, seconds, and the pause that ends it.
LETTERS, SECONDS, PAUSE = 42, 6.0, 0.8


def written(kind: str, name: str, transcript: Transcript) -> str:
    """A transcript in one of FORMATS, with its line ends.

    Args:
        kind: the format.
        name: of the audio: a path, or an utterance.
        transcript: what was heard in it.
    """
    if kind == "json":
        return _json(name, transcript)
    if kind == "trn":
        return f"{transcript.text} ({name})\n".lstrip(" ")
    if kind in SUBTITLES:
        return _subtitles(kind, transcript)
    return f"{name}\t{transcript.text}\n"


def _json(name: str, transcript: Transcript) -> str:
    """One object in a line."""
    told = {
        "audio": name,
        "seconds": round(transcript.seconds, 3),
        "text": transcript.text,
        "words": [asdict(word) for word in transcript.words],
        "nbest": [{"text": one.text, "score": round(one.score, 5)} for one in transcript.nbest],
        "pieces": [
            {"start": round(piece.start, 3), "end": round(piece.end, 3), "text": piece.text}
            for piece in transcript.pieces
        ],
    }
    return json.dumps(told, ensure_ascii=False) + "\n"


def _subtitles(kind: str, transcript: Transcript) -> str:
    """A whole file of subtitles."""
    lines = [*_captions(transcript)]
    mark = "," if kind == "srt" else "."
    blocks = []
    for number, (start, end, text) in enumerate(lines, 1):
        head = f"{number}\n" if kind == "srt" else ""
        blocks.append(f"{head}{_clock(start, mark)} --> {_clock(end, mark)}\n{text}\n\n")
    return ("WEBVTT\n\n" if kind == "vtt" else "") + "".join(blocks)


def _captions(transcript: Transcript) -> list[tuple[float, float, str]]:
    """Start, end and text of each subtitle; a piece whose words have no times is one subtitle."""
    captions: list[tuple[float, float, str]] = []
    for piece in transcript.pieces:
        group: list[Word] = []
        for word in piece.words:
            if word.start is None or word.end is None:
                group = []
                captions.append((piece.start, piece.end, piece.text))
                break
            if group and _full(group, word):
                captions.append(_caption(group))
                group = []
            group.append(word)
        if group:
            captions.append(_caption(group))
    return captions


def _full(group: list[Word], word: Word) -> bool:
    """Whether a subtitle ends before a word."""
    start, end = group[0].start or 0.0, word.end or 0.0
    letters = sum(len(one.word) + 1 for one in group) + len(word.word)
    return letters > LETTERS or end - start > SECONDS or (word.start or 0.0) - (group[-1].end or 0.0) > PAUSE


def _caption(group: list[Word]) -> tuple[float, float, str]:
    return group[0].start or 0.0, group[-1].end or 0.0, " ".join(word.word for word in group)


def _clock(seconds: float, mark: str) -> str:
    """Hours, minutes, seconds and milliseconds, as srt and vtt write them."""
    whole = round(1000 * seconds)
    return f"{whole // 3600000:02}:{whole // 60000 % 60:02}:{whole // 1000 % 60:02}{mark}{whole % 1000:03}"
