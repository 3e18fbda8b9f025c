"""The sentences of the demo corpus, their speakers, and their places on the discs (LDC93S6 and LDC94S13's layout).

An utterance id is the discs' own form, `011c1001`: speaker (3 characters), c for read text, session
(2), utterance of the session (2). A session's transcripts stand in `011c1000.dot`.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr.data.grammar import Sentence, make_sentences, out_of_vocabulary
from kdasr.data.voices import RATE, Settings, Speaker, make_speakers
from kdasr.files import atomic_write

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"  # of speaker, session and utterance in an utterance id
EVAL93_SPEAKERS = 2  # unseen in training
SESSION = 50  # utterances a session
CHARACTERS_PER_SECOND_PER_WPM = 0.1025  # measured over all training voices
MEAN_CHARACTERS = 40.1  # measured, a sentence


@dataclass(frozen=True)
class Subset:
    """Where one index of the discs keeps its things. The audio's disc is an utterance's own."""

    name: str  # as the corpus's tables call it
    folder: str  # of the audio, on its disc; one folder a speaker inside
    index: str  # the index file, with its disc
    dots: str  # folder of the transcripts, with its disc; "" is beside the audio
    session: int  # first session: what keeps a speaker's utterance ids apart between subsets
    extension: str = ".wv1"  # as the index writes it
    indexed_disc: str = ""  # the disc that the index names, where that is not the audio's


SUBSETS = {
    s.name: s
    for s in (
        Subset(
            "si_tr_s (WSJ0)",
            "wsj0/si_tr_s",
            "11-13.1/wsj0/doc/indices/train/tr_s_wv1.ndx",
            "11-4.1/wsj0/transcrp/dots/si_tr_s",
            36,
        ),
        Subset(
            "si_tr_s (WSJ1)",
            "wsj1/si_tr_s",
            "13-34.1/wsj1/doc/indices/si_tr_s.ndx",
            "13-34.1/wsj1/trans/wsj1/si_tr_s",
            36,
        ),
        Subset(
            "dev93",
            "wsj1/si_dt_20",
            "13-34.1/wsj1/doc/indices/h1_p0.ndx",
            "13-34.1/wsj1/trans/wsj1/si_dt_20",
            3,
        ),
        Subset(
            "eval92",
            "wsj0/si_et_20",
            "11-13.1/wsj0/doc/indices/test/nvp/si_et_20.ndx",
            "",
            8,
            extension="",  # the real index leaves it out
        ),
        Subset(
            "eval93",
            "wsj1/si_et_h1/wsj64k",
            "13-32.1/wsj1/doc/indices/wsj1/eval/h1_p0.ndx",
            "",
            20,
            indexed_disc="13-32.1",  # the real index is wrong here
        ),
    )
}
TRAIN = ("si_tr_s (WSJ0)", "si_tr_s (WSJ1)")


@dataclass(frozen=True)
class Utterance:
    """One utterance of the corpus, before it is spoken."""

    name: str  # utterance id, 8 characters
    speaker: Speaker
    subset: str
    disc: str  # that holds the audio, as "11-1.1"
    sentence: Sentence

    @property
    def audio(self) -> str:
        """Path of the audio, from the corpus's root."""
        return f"{self.disc}/{SUBSETS[self.subset].folder}/{self.speaker.name}/{self.name}.wv1"


def plan(hours: float, seed: int, settings: Settings) -> list[Utterance]:
    """All utterances of the corpus, training first. The same arguments give the same list."""
    rate = (settings.rate_low + settings.rate_high) / 2
    seconds = MEAN_CHARACTERS / (CHARACTERS_PER_SECOND_PER_WPM * rate) + settings.silence_low + settings.silence_high
    train_count = round(hours * 3600 / seconds)
    test_count = min(max(round(200 * hours), 20), 400)
    counts = {"dev93": min(max(round(60 * hours), 10), 120), "eval92": test_count, "eval93": max(test_count // 10, 4)}

    wsj0 = max(1, round(settings.train_speakers / 3))
    names = [f"01{DIGITS[i + 1]}" for i in range(wsj0)]
    names += [f"46{DIGITS[i]}" for i in range(settings.train_speakers - wsj0)]
    train = make_speakers(names, 0, settings, seed)
    unseen: dict[str, list[Speaker]] = {}
    used = len(train)
    for subset, prefix, count in (
        ("dev93", "4k", settings.dev_speakers),
        ("eval92", "44", settings.test_speakers),
        ("eval93", "4o", EVAL93_SPEAKERS),
    ):
        unseen[subset] = make_speakers([prefix + DIGITS[i] for i in range(count)], used, settings, seed)
        used += count

    rng = random.Random(seed)
    taken: set[str] = set()
    utterances: list[Utterance] = []
    said: dict[tuple[str, str], int] = defaultdict(int)  # (subset, speaker): utterances so far

    def add(subset: str, disc: str, speaker: Speaker, sentence: Sentence) -> None:
        number = said[subset, speaker.name]
        said[subset, speaker.name] += 1
        name = utterance_id(speaker.name, SUBSETS[subset].session, number)
        utterances.append(Utterance(name, speaker, subset, disc, sentence))

    sentences = make_sentences(train_count, rng, settings.marks, taken)
    for number, sentence in enumerate(sentences):
        index = number % len(train)
        if index < wsj0:
            add(TRAIN[0], ("11-1.1", "11-2.1")[index % 2], train[index], sentence)
        else:
            add(TRAIN[1], ("13-1.1", "13-2.1", "13-3.1")[index % 3], train[index], sentence)
    known = {word for sentence in sentences for word in sentence.reference.split()}
    for subset, disc in (("dev93", "13-16.1"), ("eval92", "11-14.1"), ("eval93", "13-33.1")):
        seen_count = 0
        for number, sentence in enumerate(make_sentences(counts[subset], rng, settings.marks, taken, known)):
            unseen_count = int((number + 1) * settings.unseen)
            if unseen_count > int(number * settings.unseen):
                speaker = unseen[subset][unseen_count % len(unseen[subset])]
            else:
                seen_count += 1
                speaker = train[seen_count * 7 % len(train)]  # men, women and discs by turns
            add(subset, disc, speaker, sentence)
    return utterances


def utterance_id(speaker: str, first_session: int, number: int) -> str:
    """`011c1001`: speaker, c for read text, session, utterance of the session; `number` counts from 0."""
    session, utterance = divmod(number, SESSION)
    high, low = divmod(first_session + session, len(DIGITS))
    return f"{speaker}c{DIGITS[high]}{DIGITS[low]}{utterance + 1:02d}"


def write_tables(out: Path, utterances: list[Utterance]) -> None:
    """Write the index files, the .dot transcripts and the speaker tables."""
    lines: dict[str, list[str]] = defaultdict(list)
    for utterance in sorted(utterances, key=lambda u: u.audio):
        subset = SUBSETS[utterance.subset]
        path = utterance.audio.partition("/")[2].removesuffix(".wv1") + subset.extension
        disc = (subset.indexed_disc or utterance.disc).replace("-", "_").replace(".", "_")
        lines[subset.index].append(f"{disc}: {path}")
        folder = f"{subset.dots}/{utterance.speaker.name}" if subset.dots else utterance.audio.rpartition("/")[0]
        lines[f"{folder}/{utterance.name[:6]}00.dot"].append(f"{utterance.sentence.dot} ({utterance.name})")
    for name, rows in lines.items():
        if name.endswith(".ndx"):
            rows.insert(0, ";; synthetic demo corpus of kdasr")

    speakers = {(u.subset, u.speaker) for u in utterances}
    seen = {speaker for subset, speaker in speakers if subset in TRAIN}
    where = {
        TRAIN[0]: "11-13.1/wsj0/doc/spkrinfo.txt",
        TRAIN[1]: "13-34.1/wsj1/doc/train/spkrinfo.txt",
        "dev93": "13-34.1/wsj1/doc/dev_spok/spkrinfo.txt",
        "eval92": "11-13.1/wsj0/doc/spkrinfo.txt",
        "eval93": "13-32.1/wsj1/doc/evl_spok/spkrinfo.txt",
    }
    for path in where.values():
        lines[path] = [";; synthetic demo corpus of kdasr: speaker, sex, voice of espeak-ng"]
    for subset, speaker in sorted(speakers, key=lambda row: row[1].name):
        if subset in TRAIN or speaker not in seen:
            lines[where[subset]].append(f"{speaker.name} {speaker.sex} {speaker.voice}")
    for name, rows in lines.items():
        with atomic_write(out / name) as stream:
            stream.write("".join(row + "\n" for row in rows))


def describe(utterances: list[Utterance], samples: dict[str, int]) -> dict[str, Any]:
    """The figures of corpus.json: for each subset utterances, hours, speakers, words, characters a second."""
    train = [u.sentence for u in utterances if u.subset in TRAIN]
    seen = {u.speaker.name for u in utterances if u.subset in TRAIN}
    subsets = {}
    for name in SUBSETS:
        members = [u for u in utterances if u.subset == name]
        seconds = sum(samples[u.name] for u in members) / RATE
        references = [u.sentence.reference for u in members]
        subsets[name] = {
            "utterances": len(members),
            "hours": round(seconds / 3600, 4),
            "speakers": len({u.speaker.name for u in members}),
            "unseen_share": round(sum(u.speaker.name not in seen for u in members) / len(members), 3),
            "words": sum(len(text.split()) for text in references),
            "characters_per_second": round(sum(map(len, references)) / seconds, 2),
        }
    others = [u.sentence for u in utterances if u.subset not in TRAIN]
    return {
        "subsets": subsets,
        "train_word_types": len({word for sentence in train for word in sentence.reference.split()}),
        "words_not_in_train": len(out_of_vocabulary(train, others)),
    }
