"""Kaldi data directories, in memory: what a corpus is made into. Those that may be long are in kdasr.data.parts.

A directory holds tables, `key value` a line, sorted as LC_ALL=C does. Keys are utterances (text, feats.scp,
utt2spk, ...), speakers (spk2utt, spk2gender, ...) or recordings (wav.scp where there are `segments`;
otherwise wav.scp has utterances too). utt2spk is what counts, spk2utt follows from it. Feature directories
are the same with feats.scp and `cmvn.npz` (ESPnet's global sums) besides.

What Kaldi's scripts do is in http://kaldi-asr.org/doc/data_prep.html; where these differ, they say so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kdasr.data.utterances import SPEEDS
from kdasr.errors import UserError
from kdasr.files import atomic_dir, columns, read_table, split_key

Tables = dict[str, dict[str, str]]  # file name: key: the rest of its line

SOURCE = "text.src"  # what a translation model reads; `text` is its translation
UTTERANCE_TABLES = ["utt2spk", "text", SOURCE, "feats.scp", "segments", "utt2num_frames", "utt2dur"]
UTTERANCE_TABLES += ["utt2lang", "utt2uniq", "utt2warp", SPEEDS, "vad.scp"]
SPEAKER_TABLES = ["spk2gender", "cmvn.scp", "spk2warp"]
RECORDING_TABLES = ["wav.scp", "reco2file_and_channel", "reco2dur"]
ALL_TABLES = [*UTTERANCE_TABLES, *SPEAKER_TABLES, *RECORDING_TABLES]
CMVN = "cmvn.npz"


def spk2utt_of(utt2spk: Mapping[str, str]) -> dict[str, str]:
    """utt2spk -> spk2utt: the utterances of each speaker, in utt2spk's order, with spaces between."""
    found: dict[str, list[str]] = {}
    for utterance, speaker in utt2spk.items():
        found.setdefault(speaker, []).append(utterance)
    return {speaker: " ".join(utterances) for speaker, utterances in found.items()}


def utt2spk_of(spk2utt: Mapping[str, str]) -> dict[str, str]:
    """spk2utt -> utt2spk, in spk2utt's order."""
    return {utterance: speaker for speaker, utterances in spk2utt.items() for utterance in columns(utterances)}


def read_dir(directory: Path) -> Tables:
    """Every table of a directory but spk2utt, which follows from utt2spk; UserError if utt2spk is absent."""
    if not (directory / "utt2spk").is_file():
        raise UserError(f"{directory}/utt2spk: no such file; name a data directory, or run the stage that writes it")
    return {
        name: read_table(directory / name, empty=name == "text") for name in ALL_TABLES if (directory / name).is_file()
    }


def refuse_nameless(directory: Path) -> None:
    """UserError for `.` and `..`, in whose place nothing can be put while they are called so."""
    if directory.name in ("", ".."):
        raise UserError(f"{directory}: is no name that a new directory can get; give the whole path")


def check_place(directory: Path, utterances: int) -> None:
    """UserError if a data directory of so many utterances cannot be put there, or not in place of what is there."""
    refuse_nameless(directory)
    if not utterances:
        raise UserError(f"{directory}: no utterance is left for it; nothing was written")
    if directory.is_file() or (
        directory.is_dir()
        and not (directory / "utt2spk").is_file()
        and any(not path.name.startswith(".") for path in directory.iterdir())
    ):
        raise UserError(f"{directory}: is there and no data directory, so it is not replaced; name another place")


def put_dir(directory: Path, tables: Mapping[str, Mapping[str, str]], cmvn: bytes | None = None) -> bool:
    """Write the tables, spk2utt and cmvn.npz as a directory, whole or not at all, in place of one that may be there.

    A directory that holds the same already is left alone, with what else is in it.

    Returns:
        Whether anything was written.

    Raises:
        UserError: no utterances, an id or path that UTF-8 cannot write, or something else than a data directory is in
            the way.
    """
    check_place(directory, len(tables["utt2spk"]))
    contents = {name: _format_table(table) for name, table in tables.items()}
    contents["spk2utt"] = _format_table(spk2utt_of(dict(_sorted(tables["utt2spk"]))))
    files = {name: _encode(directory / name, text) for name, text in contents.items()} | ({CMVN: cmvn} if cmvn else {})
    there = {name for name in [*ALL_TABLES, "spk2utt", CMVN] if (directory / name).exists()}
    if there == set(files) and all((directory / name).read_bytes() == data for name, data in files.items()):
        return False
    with atomic_dir(directory) as fresh:
        for name, data in files.items():
            (fresh / name).write_bytes(data)
    return True


def put_sets(out: Path, sets: Mapping[str, tuple[Tables, Sequence[str]]]) -> None:
    """Write the sets of a corpus, each a directory in `out`, and print its size and the notes that belong to it.

    Raises:
        UserError: as `put_dir`.
    """
    for name, (tables, notes) in sets.items():
        state = "" if put_dir(out / name, tables) else " (unchanged)"
        utterances, speakers = len(tables["utt2spk"]), len(set(tables["utt2spk"].values()))
        print("; ".join([f"{out / name}: {utterances} utterances, {speakers} speakers{state}", *notes]))


def keep_utterances(tables: Tables, keep: Collection[str]) -> Tables:
    """The tables with these utterances, and the speakers and recordings that they need."""
    keep = set(keep)
    utt2spk = {utterance: speaker for utterance, speaker in tables["utt2spk"].items() if utterance in keep}
    speakers = set(utt2spk.values())
    recordings = set(utt2spk)
    if "segments" in tables:
        recordings = {split_key(line)[0] for utterance, line in tables["segments"].items() if utterance in utt2spk}
    wanted: dict[str, set[str]] = {name: set(utt2spk) for name in UTTERANCE_TABLES}
    wanted |= {name: speakers for name in SPEAKER_TABLES} | {name: recordings for name in RECORDING_TABLES}
    return {name: {k: v for k, v in table.items() if k in wanted[name]} for name, table in tables.items()}


def _sorted(table: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted(table.items(), key=lambda row: row[0].encode())


def _format_table(table: Mapping[str, str]) -> str:
    return "".join(f"{key} {value}".rstrip() + "\n" for key, value in _sorted(table))


def _encode(path: Path, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # a file's name may hold any bytes
        line = text[text.rfind("\n", 0, error.start) + 1 :].partition("\n")[0]
        raise UserError(
            f"{path}: {split_key(line)[0]!a} has {split_key(line)[1]!a}, which is not UTF-8; rename the file"
        ) from None
