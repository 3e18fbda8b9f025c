"""The lists that ESPnet's trainer reads, made of feature directories, tokens and targets that were looked at."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdasr.asr.training import Training, distillation, soft_tables, takes_of, teachers_input
from kdasr.data.cmvn import read_npz
from kdasr.data.kaldi_dir import SOURCE
from kdasr.data.made import FILE as FEATURES
from kdasr.data.made import check_made, made_as
from kdasr.data.matrices import check_archives, check_heads, read_matrix
from kdasr.data.places import Place, parse, parse_table
from kdasr.data.tokens import Tokens, load_tokens
from kdasr.errors import UserError
from kdasr.files import atomic_dir, read_json, read_table, write_json, write_table
from kdasr.shards import digest
from kdasr.targets.check import SOFT_REMEDY, check_targets
from kdasr.targets.files import TABLES, distinct_prefixes
from kdasr.translation import SRC_TOKENS


def check_features(given: Training, out: Path) -> None:
    """UserError if the sets have features of several kinds, or of another than a model that is there."""
    if not takes_of(given).features:
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
    source = load_tokens(given.src_tokens) if given.src_tokens else None
    lists = out / "data"
    takes = takes_of(given)
    if source:
        check_sides(given, tokens, source)
    feats: dict[str, Any] = {}  # or audio, or source sentences
    text: dict[str, str] = {}
    frames: dict[str, float] = {}
    for directory in map(Path, given.train):
        found = takes.read(directory, given.reading)
        feats |= found
        frames |= takes.lengths(directory, found, source)
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
    counted_there = takes.lengths(valid, judged, source)
    size = f",{feature_size(keys[0], feats[keys[0]])}" if takes.features else ""
    for part, places, said, counted in (
        ("train", {key: feats[key] for key in keys}, {key: text[key] for key in keys}, frames),
        ("valid", judged, said_there, counted_there),
    ):
        if takes.features:
            check_archives(places, "make the features again (kdasr feats)")
            check_heads(places, "make the features again (kdasr feats)")
        lacking = next((key for key in said if key not in places or key not in counted), None)
        if lacking is not None:
            where = valid if part == "valid" else given.train[0]
            lacks = "features or frames" if takes.features else str(takes) if takes.source else "audio or length"
            raise UserError(f"{where}: {lacking} has text, and no {lacks}; make {where} again")
        # ESPnet reads these lists, not those of the sets: it gets what was checked here
        takes.write(lists / part / takes.table, {key: places[key] for key in said})
        write_table(lists / part / "text", said)
        if source and (without := next((key for key in said if not counted[key]), None)):
            raise UserError(f"{places[without]!r}: the source of {without} has no tokens; leave the sentence out")
        write_table(lists / part / f"{takes.name}_shape", {key: f"{round(counted[key])}{size}" for key in said})
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
    begun = (out / "checkpoint.pth").is_file()  # or it is a run that never began
    for name, directory in (("tokens", given.tokens), (SRC_TOKENS, given.src_tokens)):
        if directory and not ((out / name).is_dir() and begun):
            with atomic_dir(out / name) as fresh:
                shutil.copytree(directory, fresh, dirs_exist_ok=True)
    if takes.features:
        keep_statistics(given, out, feature_size(keys[0], feats[keys[0]]))
    else:
        if not begun:
            (out / "cmvn.npz").unlink(missing_ok=True)  # or it is of what the front end of this run gave
        (out / FEATURES).unlink(missing_ok=True)
    return lists


def check_sides(given: Training, target: Tokens, source: Tokens) -> None:
    """UserError if the token lists of a model that translates are known to be those of the other side.

    Their directories say of which texts they were made; a list of both sides' texts serves either.
    """
    for option, directory, own, other in (
        ("--tokens", given.tokens, "text", SOURCE),
        ("--src_tokens", given.src_tokens or "", SOURCE, "text"),
    ):
        made_from = read_json(Path(directory) / "tokens.json").get("made_from")
        texts = made_from.get("text") if isinstance(made_from, dict) else None
        there = {
            name: {digest(path) for path in (Path(one) / name for one in given.train) if path.is_file()}
            for name in (own, other)
        }
        if isinstance(texts, list) and there[other] & {*texts} and not there[own] & {*texts}:
            raise UserError(
                f"{option} {directory}: was made of {given.train[0]}/{other}, the other side; name the tokens of {own}"
            )
    if "char" in (target.type, source.type) and target.nlsyms != source.nlsyms:
        raise UserError(
            f"{given.src_tokens}: has other words that are one token (nlsyms.txt) than {given.tokens}, and ESPnet cuts "
            "both sides into characters alike; make both with the same --nlsyms"
        )


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
