"""The synthetic demo corpus, a miniature pair of WSJ disc sets (LDC93S6, LDC94S13).

Sentences of our own grammar (kdasr.data.grammar) are spoken by espeak-ng (kdasr.data.voices) and
laid out as Kaldi's WSJ recipe finds them on the real discs: index files, SPHERE audio, .dot
transcripts, spkrinfo.txt. What reads the real discs reads these. Word error rates on it say nothing
about WSJ.

The audio files come first, each whole or absent; index files and transcripts come after the last
of them, and `corpus.json` comes last of all: a killed run leaves nothing that looks finished, and a
rerun makes what is missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kdasr.announce import Pace
from kdasr.data.mini_plan import EVAL93_SPEAKERS, Utterance, describe, plan, write_tables
from kdasr.data.voices import RATE, VOICES, Espeak, Settings
from kdasr.errors import UserError
from kdasr.files import atomic_write, only_writer, read_json, write_json
from kdasr.settings import check_least, read
from kdasr.shards import claim

VERSION = 1  # to be raised when the same settings no longer give the same audio
WARNING = "The synthetic demo corpus is spoken by espeak-ng: word error rates on it say nothing about WSJ."


def parse_settings(texts: Iterable[str]) -> Settings:
    """`["snr_low=5"]` as Settings; UserError names an unknown setting or a wrong value."""
    settings = read(Settings, None, list(texts), "kdasr data mini --help")
    for name in (field.name for field in dataclasses.fields(settings)):
        low, high = getattr(settings, name), getattr(settings, name.replace("_low", "_high"))
        if low > high:
            raise UserError(f"--set: {name} {low:g} lies over {name.replace('_low', '_high')} {high:g}; exchange them")
    if min(settings.train_speakers - 2, settings.dev_speakers - 1, settings.test_speakers - 1) < 0:
        raise UserError("--set: expected train_speakers 2 or more, dev_speakers and test_speakers 1 or more")
    speakers = settings.train_speakers + settings.dev_speakers + settings.test_speakers + EVAL93_SPEAKERS
    if speakers > len(VOICES):
        raise UserError(f"--set: {speakers} speakers wanted, there are {len(VOICES)} voices; ask for fewer speakers")
    return settings


def make_corpus(out: Path, hours: float, seed: int, nj: int, coding: str, settings: Settings) -> str:
    """Make the corpus in `out`, and return its summary, several lines.

    Raises:
        UserError: a number out of its range, `out` holds something else or a corpus of other settings, or espeak-ng is
            absent.
    """
    if not 0.02 <= hours <= 40:
        raise UserError(f"--hours {hours:g}: expected 0.02 to 40; the default is 2")
    check_least("nj", nj, 1)
    check_least("seed", seed, 0)
    version = Espeak().version()
    if out.exists() and not (out / "manifest.json").exists() and any(p.name[0] != "." for p in out.iterdir()):
        raise UserError(f"{out}: holds files that are not of a synthetic demo corpus; name another directory")
    with only_writer(out):
        utterances = plan(hours, seed, settings)
        text = "\n".join(repr(utterance) for utterance in utterances)
        made_by = {
            "kind": "kdasr data mini",
            "version": VERSION,
            "espeak-ng": version,
            "hours": hours,
            "seed": seed,
            "coding": coding,
            **dataclasses.asdict(settings),
            "sentences": hashlib.sha256(text.encode()).hexdigest()[:16],
        }
        claim(out, made_by)
        if (out / "corpus.json").exists():
            return f"{out}: finished already\n{summary_of(out / 'corpus.json')}"
        samples = speak_all(out, utterances, seed, nj, coding, settings)
        write_tables(out, utterances)
        corpus = describe(utterances, samples)
        with atomic_write(out / "README.txt") as stream:
            stream.write(readme(summary(corpus)))
        write_json(out / "corpus.json", corpus)
    return f"{out}: made\n{summary(corpus)}"


def speak_all(
    out: Path, utterances: list[Utterance], seed: int, nj: int, coding: str, settings: Settings
) -> dict[str, int]:
    """Make every audio file that is missing, in `nj` processes, and return the samples of each utterance."""
    samples = {u.name: count for u in utterances if (count := sample_count(out / u.audio))}
    missing = [u for u in utterances if u.name not in samples]
    context = multiprocessing.get_context("spawn")  # a fork would inherit all that this process has loaded
    workers: dict[multiprocessing.connection.Connection, Any] = {}
    bar = tqdm(
        total=len(utterances), initial=len(samples), desc="speaking", unit="utt", mininterval=1, dynamic_ncols=True
    )
    found = len(samples)
    pace = Pace("data: speaking", "utterance", len(missing))
    try:
        for job in range(min(nj, len(missing))):
            receiving, sending = context.Pipe(duplex=False)
            task = (sending, out, missing[job::nj], seed, coding, settings)
            worker = context.Process(target=_speak_some, args=task, daemon=True)
            worker.start()
            sending.close()
            workers[receiving] = worker
        open_pipes = list(workers)
        while open_pipes:
            for pipe in multiprocessing.connection.wait(open_pipes):
                try:
                    name, count = pipe.recv()  # type: ignore[union-attr]
                except EOFError:
                    open_pipes.remove(pipe)  # type: ignore[arg-type]
                    continue
                if name is None:
                    raise UserError(count)
                samples[name] = count
                bar.update()
                pace.done(len(samples) - found)
    finally:
        bar.close()
        for worker in workers.values():
            worker.terminate()
            worker.join()
    if len(samples) < len(utterances):
        raise UserError(f"{out}: a process died (killed, or out of memory); run the same command again to go on")
    return samples


def _speak_some(
    pipe: multiprocessing.connection.Connection,
    out: Path,
    utterances: list[Utterance],
    seed: int,
    coding: str,
    settings: Settings,
) -> None:
    """A worker: speak these utterances, and send (name, samples) for each; an error is sent as (None, message)."""
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends its workers
    # A parent that was killed breaks the pipe: no orphan works on.
    with contextlib.suppress(BrokenPipeError):
        try:
            espeak = Espeak()
            espeak.start()  # before numpy and scipy are loaded
            from kdasr.data import recording, sphere

            for utterance in utterances:
                sentence = utterance.sentence
                key = [seed, 2, *utterance.name.encode()]
                audio = recording.render(espeak, sentence.spoken, sentence.burst, utterance.speaker, settings, key)
                sphere.write_sphere(out / utterance.audio, audio, RATE, coding=coding, utterance_id=utterance.name)
                pipe.send((utterance.name, len(audio)))
        except UserError as error:
            pipe.send((None, str(error)))


def sample_count(path: Path) -> int:
    """Samples of a SPHERE file by its header; 0 if there is no such file, or no such header."""
    try:
        with open(path, "rb") as stream:
            header = stream.read(1024)
    except FileNotFoundError:
        return 0
    found = re.search(rb"\nsample_count -i ([0-9]{1,15})\n", header)
    return int(found[1]) if found else 0


def summary(corpus: dict[str, Any]) -> str:
    """corpus.json as a table."""
    rows = ["subset          utterances  hours  speakers  by unseen  words  characters/s"]
    for name, row in corpus["subsets"].items():
        rows.append(
            f"{name:<15} {row['utterances']:>10} {row['hours']:>6.3f} {row['speakers']:>9} "
            f"{row['unseen_share']:>9.0%} {row['words']:>6} {row['characters_per_second']:>13.1f}"
        )
    rows.append(
        f"{corpus['train_word_types']} word types in training, {corpus['words_not_in_train']} others in dev93 and eval"
    )
    return "\n".join(rows)


def summary_of(path: Path) -> str:
    """As `summary`, of a corpus.json; UserError if it is none."""
    try:
        return summary(read_json(path))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{path}: is not what this command writes; remove it and run the command again") from None


def readme(table: str) -> str:
    """README.txt of the corpus."""
    return f"""The synthetic demo corpus of kdasr, made by `kdasr data mini` (manifest.json says how).

{WARNING}

It has the layout of the Wall Street Journal discs (LDC93S6: 11-*, LDC94S13: 13-*) and none of their content:
newspaper-like sentences of kdasr's own grammar, spoken by espeak-ng voices, with noise and
reverberation added. Unlike the real discs it has no 5k test sets, no spontaneous or adaptation
speech, no second microphone and no language model text, and half of dev93 and eval is by
speakers of the training set.

{table}
"""
