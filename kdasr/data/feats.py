"""A Kaldi data directory -> features of a kind, frame counts, durations and CMVN statistics.

Utterances in sorted order are cut into shards. A shard S is feats.S.ark (matrices, kaldiio's method 3), its
checksum feats.S.sha256, feats.S.npz (frames, samples, sums for CMVN) and feats.S.scp, which is written last:
where it stands, the shard is whole. Merging puts the shards' tables together. How many processes or jobs shared
the work, and how often it was killed, leaves no trace in the result.

Method 3 of Kaldi's compression keeps 16 bits a value, scaled to the utterance's range: half the size of
float32 at an error of about 0.0002 (the two front ends that tests compare differ by more), written and read
20 times as fast as Kaldi's default method 2, whose error is 0.06.

With `--cmvn speaker` the shards are first written as raw.S.*; merging adds up each speaker's statistics and
writes feats.S.* normalised to mean 0 and variance 1 by speaker. cmvn.npz always describes feats.scp as it is.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from kdasr.arrays import read_npz
from kdasr.data.cmvn import Stats, accumulate, apply, from_kaldi, write_kaldi, write_npz
from kdasr.data.cmvn import merge as add
from kdasr.data.cuts import Read, Recordings, read_cut
from kdasr.data.feats_settings import FeatsSettings
from kdasr.data.front_ends import FrontEnd, front_end
from kdasr.data.matrices import check_archives, read_matrix, write_ark
from kdasr.data.places import parse_table, size
from kdasr.data.utterances import SPEEDS, Utterance, parse_speeds, plan, write_audio
from kdasr.errors import UserError
from kdasr.files import atomic_write, only_writer, read_json, read_table, write_json, write_table
from kdasr.shards import claim, cut, digest, parse_share
from kdasr.workers import run_shards

SHARD_SIZE = 200  # utterances: about 25 minutes of WSJ, one or two seconds of work
OTHER_RATE = (
    "is sampled at {found} Hz, expected {rate}; give --rate {found} if the whole corpus is, or let it be converted: "
    "--resample"
)
COMPRESSION = 3  # kaldiio: two bytes a value, scaled to the utterance's range


def make_features(asked: FeatsSettings) -> None:
    """Do what is missing of a feature directory, and say what there is now.

    Raises:
        UserError: other settings or inputs than those it was begun with, or audio that cannot be used.
    """
    started = time.monotonic()
    share = parse_share(asked.job, asked.merge)
    data, out, speeds, front = asked.data, asked.out, parse_speeds(asked.speed), front_end(asked.type, asked.bins)
    utterances = plan(data, speeds, asked.reading)
    settings = describe(asked, front, speeds, utterances)
    shards = cut(utterances, SHARD_SIZE)  # type: ignore[type-var]
    if not any(out.glob("*.scp")):
        # A run that failed before its first shard (on a wrong --rate, say) does not bind the next one.
        (out / "manifest.json").unlink(missing_ok=True)
    claim(out, settings)
    sources = {name: digest(data / name) for name in ("text", "utt2spk", "segments") if (data / name).exists()}
    if is_done(out, len(shards), sources):
        print(f"{out}: all {len(utterances)} utterances are there already")
        return
    missing = [s for s in range(len(shards)) if not (is_whole(out, "feats", s) or is_whole(out, "raw", s))]
    with only_writer(out, name=share.lock):
        todo = share.of(missing, len(shards), out)
        stem = "raw" if asked.cmvn == "speaker" else "feats"
        work = [(s, shards[s]) for s in todo]
        make = functools.partial(make_shard, out, stem, asked.rate, front, asked.cmvn == "speaker", asked.min_duration)
        hours = run_shards(make, work, 1 if asked.job else asked.nj, f"{data.name}: features")
        spent = time.monotonic() - started
        if hours:
            print(f"{out}: {hours:.2f} h of audio in {spent:.1f} s, {hours * 3600 / spent:.0f} x real time")
        if asked.job:
            print(f"{out}: job {asked.job} has done its share of {len(shards)} shards")
            return
        merge(out, data, shards, asked.rate, asked.nj, sources)
    done = read_json(out / "done.json")
    print(f"{out}: {done['utterances']} utterances, {done['frames']} frames, {done['seconds'] / 3600:.2f} h")
    if done.get("left_out"):
        print(
            f"{out}: left out {done['left_out']} utterances that are too short, the first is {done['first_left_out']}"
        )


def describe(
    asked: FeatsSettings, front: FrontEnd, speeds: dict[str, Fraction], utterances: Sequence[Utterance]
) -> dict[str, Any]:
    """The manifest: everything that determines the features."""
    data, by_speaker = asked.data, asked.cmvn == "speaker"
    total = 0
    for name, place in {row.source: row.audio for row in {row.audio: row for row in utterances}.values()}.items():
        try:
            total += size(place)
        except (OSError, ValueError) as error:
            if (asked.out / "done.json").exists():  # finished: the audio may go
                total = read_json(asked.out / "manifest.json").get("audio_bytes", 0)
                break
            reason = error.strerror if isinstance(error, OSError) else "a name that no file can have"
            raise UserError(
                f"{data / 'wav.scp'}: {name}: {place.path} cannot be opened ({reason}); correct the path"
            ) from None
    described = {
        "made_by": "kdasr feats",
        "features": front.described(asked.rate),
        "rate": asked.rate,
        "speed": [str(float(speed)) for speed in speeds.values()],
        "normalised": "mean and variance by speaker" if by_speaker else "no",
        "compression": COMPRESSION,
        "shard_size": SHARD_SIZE,
        "utterances": len(utterances),
        "wav_scp": digest(data / "wav.scp"),
        "segments": digest(data / "segments") if (data / "segments").exists() else None,
        "audio_bytes": total,  # catches a corpus made anew at the same paths
        "utt2spk": digest(data / "utt2spk") if by_speaker else None,
    }
    if asked.min_duration is not None:
        described["min_duration"] = asked.min_duration
    if (data / SPEEDS).exists():
        described[SPEEDS] = digest(data / SPEEDS)
    return described | asked.reading.changed()


def is_whole(out: Path, stem: str, shard: int) -> bool:
    """Whether a shard's files are all there; the scp is written last."""
    return all((out / f"{stem}.{shard}.{end}").exists() for end in ("scp", "ark", "npz"))


def is_done(out: Path, shards: int, sources: dict[str, str]) -> bool:
    """Whether the directory is finished, was made from these text and utt2spk, and has not been moved."""
    tables = ["feats.scp", "wav.scp", "utt2num_frames", "utt2dur", "cmvn.npz", "spk2utt", *sources]
    if not all((out / name).exists() for name in ("done.json", *tables)):
        return False
    with open(out / "feats.scp", encoding="utf-8") as stream:
        here = f" {out.absolute()}/feats." in stream.readline()
    return (
        here
        and read_json(out / "done.json")["sources"] == sources
        and all(is_whole(out, "feats", s) for s in range(shards))
    )


def make_shard(
    out: Path,
    stem: str,
    rate: int,
    front: FrontEnd,
    by_speaker: bool,
    shortest: float | None,
    shard: int,
    rows: Sequence[Utterance],
    progress: Callable[[float], Any] | None = None,
) -> float:
    """Compute and write one shard; returns its hours of audio. `shortest`: seconds of what is kept, or refuse."""
    read = Recordings()

    def features(row: Utterance) -> tuple[np.ndarray, int, str, Stats]:
        matrix, samples = compute(row, read, rate, front, shortest)
        if progress:
            progress(samples / rate / 3600)
        return matrix, samples, row.speaker if by_speaker else "", accumulate(matrix)

    return _write_shard(out, stem, shard, [row.name for row in rows], (features(row) for row in rows)) / rate / 3600


def _write_shard(out: Path, stem: str, shard: int, names: Sequence[str], results: Any) -> int:
    """Write feats.S.ark, .sha256, .npz and, last, .scp; returns the samples of audio in them.

    An utterance without frames is left out: it has 0 frames in the .npz, and no place in the .scp.
    """
    frames, samples, stats = [], [], {}
    with write_ark(out.absolute() / f"{stem}.{shard}.ark") as ark:
        for name, (matrix, length, group, sums) in zip(names, results, strict=True):
            frames.append(len(matrix))
            samples.append(length)
            if len(matrix):
                ark.add(name, matrix, COMPRESSION)
                stats[group] = add([stats[group], sums]) if group in stats else sums
    with atomic_write(ark.path.with_suffix(".npz"), "wb") as stream:
        np.savez(
            stream,
            frames=frames,
            samples=samples,
            groups=list(stats),
            count=[part.count for part in stats.values()],
            sum=[part.sum for part in stats.values()],
            sum_square=[part.sum_square for part in stats.values()],
        )
    write_table(ark.path.with_suffix(".scp"), ark.places)
    return sum(samples)


def compute(
    row: Utterance,
    read: Read,
    rate: int,
    front: FrontEnd,
    shortest: float | None = None,
) -> tuple[np.ndarray, int]:
    """Features (T, bins) of one utterance, and how many samples they were made from.

    Args:
        row: the utterance.
        read: gives a recording's samples and rate.
        rate: that is expected, Hz.
        front: makes the features.
        shortest: seconds; what is shorter, or has no frame, gives no frame. None: it is refused.

    Raises:
        UserError: unreadable audio, another sampling rate, less than one frame, values that are not finite.
    """
    samples = read_cut(row, read, rate, OTHER_RATE)  # (n,) int16
    path = row.audio.path or row.audio.command
    matrix = front.compute(samples, rate)  # (T, bins)
    if shortest is not None and len(samples) < shortest * rate:
        matrix = matrix[:0]
    if not len(matrix) and shortest is None:
        raise UserError(
            f"utterance {row.name} ({path}): {len(samples) / rate:.3f} s of audio, less than one frame of "
            f"{front.frame_ms} ms; leave out all that are too short (--min_duration 0.1), or remove it"
        )
    if not np.isfinite(matrix).all():
        raise UserError(
            f"utterance {row.name} ({path}): its features are not finite; the audio is damaged, remove or correct it"
        )
    return matrix, len(samples)


def merge(
    out: Path, data: Path, shards: Sequence[Sequence[Utterance]], rate: int, nj: int, sources: dict[str, str]
) -> None:
    """Normalise by speaker where that was asked for, then write the directory's tables; done.json last."""
    missing = [s for s in range(len(shards)) if not is_whole(out, "feats", s)]
    if missing:  # only with --cmvn speaker: the raw shards are all there
        speakers: dict[str, list[Stats]] = {}
        for shard in range(len(shards)):
            for group, stats in _read_npz(out, "raw", shard)[2].items():
                speakers.setdefault(group, []).append(stats)
        write_kaldi(
            out.absolute() / "cmvn.ark", out / "cmvn.scp", {name: add(parts) for name, parts in speakers.items()}
        )
        work = [(s, shards[s]) for s in missing]
        run_shards(functools.partial(normalise_shard, out, rate), work, nj, f"{data.name}: normalising")

    tables: dict[str, dict[str, str]] = {"feats.scp": {}, "utt2num_frames": {}, "utt2dur": {}, "utt2spk": {}}
    parts, spk2utt, left_out = [], {}, []
    for shard, rows in enumerate(shards):
        frames, samples, groups = _read_npz(out, "feats", shard)
        places = read_table(out / f"feats.{shard}.scp")
        parts += groups.values()
        for row, count, length in zip(rows, frames, samples, strict=True):
            if not count:
                left_out.append(row.name)
                continue
            if row.name not in places:
                raise UserError(f"{out}/feats.{shard}.scp: lacks {row.name}; remove it and run kdasr feats again")
            offset = places[row.name].rpartition(":")[2]
            tables["feats.scp"][row.name] = f"{out.absolute()}/feats.{shard}.ark:{offset}"
            tables["utt2num_frames"][row.name] = str(count)
            tables["utt2dur"][row.name] = f"{round(length / rate, 6)}"
            tables["utt2spk"][row.name] = row.speaker
            spk2utt.setdefault(row.speaker, []).append(row.name)
    if not parts:
        raise UserError(f"{data}: all {len(left_out)} utterances are too short; give a smaller --min_duration")
    tables["spk2utt"] = {speaker: " ".join(names) for speaker, names in spk2utt.items()}
    if "text" in sources:
        text = read_table(data / "text")
        tables["text"] = {
            row.name: text[row.source] for rows in shards for row in rows if row.name in tables["utt2spk"]
        }
    else:
        (out / "text").unlink(missing_ok=True)
    for name, table in tables.items():
        write_table(out / name, table)
    write_audio(data, out, [row for rows in shards for row in rows if row.name in tables["utt2spk"]])
    total = add(parts)
    write_npz(out / "cmvn.npz", total)
    for path in out.glob("raw.*"):
        path.unlink()
    seconds = round(sum(map(float, tables["utt2dur"].values())), 3)
    done = {"utterances": len(tables["utt2spk"]), "frames": total.count, "seconds": seconds, "sources": sources}
    if left_out:
        done |= {"left_out": len(left_out), "first_left_out": left_out[0]}
    write_json(out / "done.json", done)


def normalise_shard(
    out: Path, rate: int, shard: int, rows: Sequence[Utterance], progress: Callable[[float], Any] | None = None
) -> float:
    """Write feats.S.* from raw.S.*, normalised by each speaker's statistics; returns its hours of audio."""
    frames, lengths, _ = _read_npz(out, "raw", shard)
    here = {row.speaker for row, count in zip(rows, frames, strict=True) if count}
    speakers = read_table(out / "cmvn.scp")
    stats = {name: from_kaldi(read_matrix(name, speakers[name])) for name in here}
    raw = parse_table(read_table(out / f"raw.{shard}.scp"), out / f"raw.{shard}.scp")
    check_archives(raw, f"remove {out} and run again")

    def features() -> Any:
        for row, count, length in zip(rows, frames, lengths, strict=True):
            if count and row.name not in raw:
                raise UserError(f"{out}/raw.{shard}.scp: lacks {row.name}; remove {out} and run again")
            matrix = read_matrix(row.name, raw[row.name]) if count else np.zeros((0, 1), np.float32)  # (T, M)
            if count:
                matrix = apply(matrix, stats[row.speaker])
            if progress:
                progress(length / rate / 3600)
            yield matrix, length, "", accumulate(matrix)

    return _write_shard(out, "feats", shard, [row.name for row in rows], features()) / rate / 3600


def _read_npz(out: Path, stem: str, shard: int) -> tuple[list[int], list[int], dict[str, Stats]]:
    """A shard's frames and samples by utterance, and its statistics by group (speaker, or "" for all)."""
    names = ("frames", "samples", "groups", "count", "sum", "sum_square")
    stored = read_npz(out / f"{stem}.{shard}.npz", names, f"remove {out}/{stem}.{shard}.* and run kdasr feats again")
    rows = zip(stored["groups"].tolist(), stored["count"].tolist(), stored["sum"], stored["sum_square"], strict=True)
    stats = {group: Stats(count, total, square) for group, count, total, square in rows}
    return stored["frames"].tolist(), stored["samples"].tolist(), stats
