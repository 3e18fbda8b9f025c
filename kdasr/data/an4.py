"""AN4 (CMU 1991, one hour of real speech) -> Kaldi data directories `train`, `dev` and `test`.

Upstream has no development set. Whole speakers of its training set are held out, evenly spread over the
sorted names, so that women and men and every part of the alphabet are in it, and every run takes the same.
"""

from __future__ import annotations

import re
from pathlib import Path

from kdasr.data.kaldi_dir import put_dir
from kdasr.errors import UserError
from kdasr.files import BLANKS, columns, read_lines

SUFFIXES = (".flac", ".wav", ".sph", ".raw")
_MARKS = {"<s>", "</s>", "<sil>"}


def write_sets(an4: Path, out: Path, dev_speakers: int) -> None:
    """Write the three sets and print their sizes.

    Args:
        an4: the corpus: it contains etc/ and wav/.
        out: where train, dev and test go.
        dev_speakers: how many training speakers are held out as dev.

    Raises:
        UserError: too many or too few of them, or the corpus is not as upstream has it.
    """
    train = read_part(an4, "train")
    test = read_part(an4, "test")
    speakers = sorted({speaker_of(u) for u in train})
    if not 1 <= dev_speakers < len(speakers):
        raise UserError(f"--dev_speakers {dev_speakers}: expected 1 to {len(speakers) - 1} of the speakers")
    dev = set(spread(speakers, dev_speakers))
    both = {speaker_of(u) for u in test} & set(speakers)
    if both:
        raise UserError(f"{an4}/etc: speaker {min(both)} is in train and in test; unpack the corpus again")
    sets = {
        "train": {u: row for u, row in train.items() if speaker_of(u) not in dev},
        "dev": {u: row for u, row in train.items() if speaker_of(u) in dev},
        "test": test,
    }
    for name, rows in sets.items():
        tables = {
            "text": {u: text for u, (text, _) in rows.items()},
            "wav.scp": {u: str(audio) for u, (_, audio) in rows.items()},
            "utt2spk": {u: speaker_of(u) for u in rows},
            "spk2gender": {speaker_of(u): u[0] for u in rows},
        }
        put_dir(out / name, tables)
        print(f"{out / name}: {len(rows)} utterances, {len(tables['spk2gender'])} speakers")


def read_part(an4: Path, part: str) -> dict[str, tuple[str, Path]]:
    """Upstream's lists of 'train' or 'test' -> (text, audio file) by utterance id (speaker-prompt).

    Raises:
        UserError: a list or an audio file is absent, a line is not of upstream's form, an id occurs twice, or
            the two lists do not name the same utterances.
    """
    an4 = an4.resolve()
    audio: dict[str, Path] = {}
    path = an4 / "etc" / f"an4_{part}.fileids"
    for number, line in enumerate(read_lines(path), 1):
        if file := line.strip(BLANKS):
            utterance = _utterance(file.rsplit("/", 1)[-1], f"{path}:{number}")
            if utterance in audio:
                raise UserError(f"{path}:{number}: {file} is here a second time; unpack the corpus again")
            audio[utterance] = _audio_file(an4 / "wav" / file, f"{path}:{number}")
    texts: dict[str, str] = {}
    path = an4 / "etc" / f"an4_{part}.transcription"
    for number, line in enumerate(read_lines(path), 1):
        text, _, name = line.strip(BLANKS).rpartition("(")
        name = name.removesuffix(")") if re.fullmatch(r"\S+\)", name) else ""
        if not name:
            if not line.strip(BLANKS):
                continue
            raise UserError(f"{path}:{number}: expected 'TEXT (FILE)', found {line!r}; unpack the corpus again")
        utterance = _utterance(name, f"{path}:{number}")
        words = [word for word in columns(text) if word.lower() not in _MARKS]
        if utterance in texts or not words:
            what = "is here a second time" if utterance in texts else "has no words"
            raise UserError(f"{path}:{number}: {name} {what}; unpack the corpus again")
        texts[utterance] = " ".join(words).upper()
    differing = sorted(set(audio) ^ set(texts))
    if differing or not audio:
        raise UserError(
            f"{an4}/etc: an4_{part}.fileids ({len(audio)}) and an4_{part}.transcription ({len(texts)}) do not name"
            f" the same utterances (first: {differing[0] if differing else 'none at all'}); unpack the corpus again"
        )
    return {utterance: (texts[utterance], audio[utterance]) for utterance in sorted(audio)}


def speaker_of(utterance: str) -> str:
    """The speaker of an utterance id: the part before its first hyphen."""
    return utterance.partition("-")[0]


def spread(names: list[str], count: int) -> list[str]:
    """`count` of the names, in the middle of `count` equal stretches of the list."""
    return [names[(2 * i + 1) * len(names) // (2 * count)] for i in range(count)]


def _utterance(name: str, where: str) -> str:
    """'an251-fash-b' (prompt, speaker, microphone) -> 'fash-an251', which begins with the speaker as Kaldi wants."""
    match = re.fullmatch(r"(\w+)-([fm]\w*)-b", name)
    if not match:
        raise UserError(f"{where}: expected a name like 'an251-fash-b', found {name!r}; unpack the corpus again")
    return f"{match[2]}-{match[1]}"


def _audio_file(stem: Path, where: str) -> Path:
    for suffix in SUFFIXES:
        path = stem.with_name(stem.name + suffix)
        if path.is_file():
            return path
    raise UserError(f"{where}: there is no {stem} with {', '.join(SUFFIXES)}; unpack the corpus whole")
