"""The lists that ESPnet's trainer reads, made of feature directories, tokens and targets that were looked at."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdasr.asr.inputs import student_input
from kdasr.asr.training import Training, distillation, soft_tables, teachers_input
from kdasr.data.cmvn import read_npz
from kdasr.data.made import FILE as FEATURES
from kdasr.data.made import check_made, made_as
from kdasr.data.matrices import check_archives, check_heads, read_matrix
from kdasr.data.places import Place, parse, parse_table
from kdasr.data.tokens import load_tokens
from kdasr.errors import UserError
from kdasr.files import atomic_dir, read_table, write_json, write_table
from kdasr.shards import digest
from kdasr.targets.check import SOFT_REMEDY, check_targets
from kdasr.targets.files import TABLES, distinct_prefixes


def check_features(given: Training, out: Path) -> None:
    """UserError if the sets have features of several kinds, or of another than a model that is there."""
    if student_input(given.config).rate:
        return
    places = features_of(given)
    made_as(places)
    check_made(places, out)


def features_of(given: Training) -> dict[str, Place]:
    """The features of all sets, by set and utterance."""
    lists = [Path(directory) / "feats.scp" for directory in [*given.train, given.valid]]
    return {f"{path} {key}": place for path in lists for key, place in parse_table(read_table(path), path).items()}


def prepare_data(given: Training, out: Path) -> Path:
    """Write the lists that ESPnet reads (features or audio, text, shapes) into out/data, and return where.

    The sets and what they point to are checked here.
    """
    tokens = load_tokens(given.tokens)
    lists = out / "data"
    takes = student_input(given.config, given.espnet)
    feats: dict[str, Any] = {}  # or audio
    text: dict[str, str] = {}
    frames: dict[str, float] = {}
    for directory in map(Path, given.train):
        found = takes.read(directory, given.reading)
        feats |= found
        frames |= takes.lengths(directory, found)
        if not given.targets:
            if not (directory / "text").is_file():
                raise UserError(f"{directory}: has no text; untranscribed audio needs --targets (kdasr targets)")
            text |= read_table(directory / "text")
    if given.targets:
        checked = check_targets(given.targets, digest(Path(given.tokens) / "tokens.txt"), len(tokens.list), feats)
        text = checked["text"]
    check_soft_targets(given, len(tokens.list))
    left_out = len(feats.keys() - text.keys())
    if left_out:
        print(f"{out}: {left_out} of {len(feats)} utterances have no {'target' if given.targets else 'text'}, left out")
    absent = sorted(text.keys() - feats.keys())
    if absent:
        raise UserError(
            f"{given.targets or given.train[0]}: {absent[0]} (and {len(absent) - 1} more) has no {takes}; "
            "add its set to --train"
        )
    keys = sorted(text)
    if not keys:
        raise UserError(f"{' '.join(given.train)}: no utterance with both {takes} and text is left to train on")
    valid = Path(given.valid)
    said_there = read_table(valid / "text")
    judged = takes.read(valid, given.reading)
    counted_there = takes.lengths(valid, judged)
    size = "" if takes.rate else f",{feature_size(keys[0], feats[keys[0]])}"
    for part, places, said, counted in (
        ("train", {key: feats[key] for key in keys}, {key: text[key] for key in keys}, frames),
        ("valid", judged, said_there, counted_there),
    ):
        if not takes.rate:
            check_archives(places, "make the features again (kdasr feats)")
            check_heads(places, "make the features again (kdasr feats)")
        lacking = next((key for key in said if key not in places or key not in counted), None)
        if lacking is not None:
            where = valid if part == "valid" else given.train[0]
            lacks = "audio or length" if takes.rate else "features or frames"
            raise UserError(f"{where}: {lacking} has text, and no {lacks}; make them again (kdasr feats)")
        # ESPnet reads these lists, not those of the sets: it gets what was checked here
        takes.write(lists / part / takes.table, {key: places[key] for key in said})
        write_table(lists / part / "text", said)
        write_table(lists / part / "speech_shape", {key: f"{round(counted[key])}{size}" for key in said})
        if part == "train" and given.targets:
            # what the decoder computes of an utterance's hypotheses
            steps = {key: distinct_prefixes(checked["hyps"][key], checked["hyp_lens"][key]) for key in said}
        else:
            steps = {key: len(tokens.encode(said[key])) for key in said}
        write_table(lists / part / "text_shape", {key: f"{steps[key]},{len(tokens.list)}" for key in said})
    for name in ("hyps", "hyp_lens", "weights", "kd_audio", "kd_feats.scp"):
        (lists / "train" / name).unlink(missing_ok=True)  # of a run that came no further than this
    if given.targets:
        for name in TABLES:
            write_table(lists / "train" / name, read_table(Path(given.targets) / name, empty=True))
        for name in soft_tables(given):
            check_heads(checked[f"{name}.scp"], SOFT_REMEDY)
            write_table(lists / "train" / f"{name}.scp", {key: checked[f"{name}.scp"][key].entry() for key in keys})
    prepare_teachers(given, lists, keys)
    if not (out / "tokens").is_dir() or not (out / "checkpoint.pth").is_file():  # or of a run that never began
        with atomic_dir(out / "tokens") as fresh:
            shutil.copytree(given.tokens, fresh, dirs_exist_ok=True)
    if takes.rate:
        if not (out / "checkpoint.pth").is_file():
            (out / "cmvn.npz").unlink(missing_ok=True)  # or it is of what the front end of this run gave
        (out / FEATURES).unlink(missing_ok=True)
    else:
        keep_statistics(given, out, feature_size(keys[0], feats[keys[0]]))
    return lists


def keep_statistics(given: Training, out: Path, size: int) -> None:
    """Put beside the model what its features of `size` bins are: their statistics, and how they were made."""
    stats = Path(given.train[0]) / "cmvn.npz"
    if stats.is_file():
        if len(read_npz(stats).sum) != size:
            raise UserError(f"{stats}: is of other features than {given.train[0]}/feats.scp; make them again")
        shutil.copyfile(stats, out / "cmvn.npz")
    else:
        (out / "cmvn.npz").unlink(missing_ok=True)
    (out / FEATURES).unlink(missing_ok=True)
    if features := made_as(features_of(given)):
        write_json(out / FEATURES, features)  # so that it is given no others


def prepare_teachers(given: Training, lists: Path, keys: Sequence[str]) -> None:
    """Write what teachers beside the student read, if that is not what the student reads.

    Raises:
        UserError: a set has no such input for one of the utterances `keys`, or features that a teacher does not take.
    """
    takes, teachers = teachers_input(given), distillation(given).teachers
    if not takes:
        return
    rows: dict[str, Any] = {}
    for directory in map(Path, given.train):
        if not (directory / ("wav.scp" if takes.rate else "feats.scp")).is_file():
            raise UserError(f"{directory}: has no {takes}, which {teachers[0]} takes; make the set again (kdasr feats)")
        rows |= takes.read(directory, given.reading)
    absent = next((key for key in keys if key not in rows), None)
    if absent is not None:
        raise UserError(f"{' '.join(given.train)}: {absent} has no {takes}, which {teachers[0]} takes; add its set")
    rows = {key: rows[key] for key in keys}
    if not takes.rate:
        check_archives(rows, "make the features again (kdasr feats)")
        check_heads(rows, "make the features again (kdasr feats)")
        for teacher in teachers:
            check_made(rows, teacher)
    takes.write(lists / "train" / f"kd_{takes.table}", rows)


def feature_size(name: str, place: Place) -> int:
    """Bins of the features of an utterance."""
    return int(read_matrix(name, place).shape[1])


def check_soft_targets(given: Training, vocabulary: int) -> None:
    """UserError unless a student that learns from distributions has them, as many tokens as its divergence needs."""
    kd = distillation(given)
    for name in soft_tables(given):
        table = Path(given.targets or "") / f"{name}.scp"
        if not given.targets or not table.is_file():
            more = " --ctc" if name == "ctc" else ""
            raise UserError(
                f"{given.targets or '--targets'}: has no {name}.scp to learn distributions from; make it "
                f"(kdasr soft --targets DIR{more}), or name teachers to run beside it (--kd teachers=[DIR])"
            )
        first, place = next(iter(read_table(table).items()))
        kept = feature_size(first, parse(place, f"{table}: {first}")) // 2
        if kd.divergence == "reverse_kl" and kept < vocabulary:
            raise UserError(f"{table}: keeps {kept} of {vocabulary} tokens; reverse_kl needs all (kdasr soft --kept 0)")
