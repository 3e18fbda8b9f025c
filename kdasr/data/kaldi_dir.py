"""Kaldi data directories: write, check, correct, and cut them (utils/*_data_dir.py are thin scripts over this).

A directory holds tables, `key value` a line, sorted as LC_ALL=C does. Keys are utterances (text, feats.scp,
utt2spk, ...), speakers (spk2utt, spk2gender, ...) or recordings (wav.scp where there are `segments`;
otherwise wav.scp has utterances too). utt2spk is what counts, spk2utt follows from it. Feature directories
are the same with feats.scp and `cmvn.npz` (ESPnet's global sums) besides.

What Kaldi's scripts do is in http://kaldi-asr.org/doc/data_prep.html; where these differ, they say so.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kdasr.data.utterances import SPEEDS
from kdasr.errors import UserError
from kdasr.files import atomic_dir, columns, only_writer, read_lines, read_table, split_key, write_table

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


def write_subset(source: Path, target: Path, keep: Collection[str]) -> int:
    """Write the part of a directory that has these utterances, with the source's cmvn.npz; returns how many."""
    if target.resolve() == source.resolve():
        raise UserError(f"{target}: is the source itself; name another directory for the part")
    tables = keep_utterances(read_dir(source), keep)
    put_dir(target, tables, _cmvn_of(source))
    return len(tables["utt2spk"])


def select_evenly(keys: Sequence[str], count: int) -> list[str]:
    """`count` keys spread over the list, the ones that Kaldi's subset_scp.pl takes."""
    if count > len(keys):
        raise UserError(f"{count} utterances asked for, but there are {len(keys)}; ask for fewer")
    if not count or len(keys) <= 1:
        return list(keys[:count])
    half = len(keys) // 2
    return select_evenly(keys[:half], count // 2) + select_evenly(keys[half:], count - count // 2)


def select_per_speaker(utt2spk: Mapping[str, str], count: int) -> list[str]:
    """At most `count` utterances of each speaker, evenly spread."""
    chosen = []
    for line in spk2utt_of(utt2spk).values():
        utterances = columns(line)
        step = max(1, len(utterances) // count)
        chosen += utterances[::step][:count]
    return chosen


def select_speakers(utt2spk: Mapping[str, str], count: int) -> list[str]:
    """All utterances of randomly drawn speakers (the same in every run) until there are `count` or more."""
    speakers = list(spk2utt_of(utt2spk).values())
    random.Random(0).shuffle(speakers)
    chosen: list[str] = []
    for line in speakers:
        if len(chosen) >= count:
            break
        chosen += columns(line)
    return chosen


def select_shortest(tables: Tables, count: int) -> list[str]:
    """The `count` shortest utterances, by utt2num_frames or utt2dur."""
    lengths = tables.get("utt2num_frames") or tables.get("utt2dur")
    if not lengths:
        raise UserError("--shortest: neither utt2num_frames nor utt2dur is there; run kdasr feats first")
    return sorted(lengths, key=lambda utterance: (_length(utterance, lengths[utterance]), utterance.encode()))[:count]


def copy_dir(source: Path, target: Path, spk: tuple[str, str] = ("", ""), utt: tuple[str, str] = ("", "")) -> None:
    """Copy a directory, putting (prefix, suffix) round speaker and utterance ids; recordings keep theirs.

    Raises:
        UserError: a prefix or suffix that no id can have.
    """
    for affix in (*spk, *utt):
        if columns(f"a{affix}a") != [f"a{affix}a"] or any("\ud800" <= c <= "\udfff" for c in affix):
            raise UserError(f"{affix!a}: cannot be part of an id; give a prefix or suffix of UTF-8 without white space")
    tables = read_dir(source)
    rename = {
        **{name: utt for name in UTTERANCE_TABLES},
        **{name: spk for name in SPEAKER_TABLES},
        **{name: ("", "") if "segments" in tables else utt for name in RECORDING_TABLES},
    }
    copied = {
        name: {rename[name][0] + key + rename[name][1]: value for key, value in table.items()}
        for name, table in tables.items()
    }
    copied["utt2spk"] = {key: spk[0] + value + spk[1] for key, value in copied["utt2spk"].items()}
    put_dir(target, copied, _cmvn_of(source))


def combine_dirs(target: Path, sources: Sequence[Path]) -> tuple[int, list[str]]:
    """Join directories: each table that all of them have, and the sum of their cmvn.npz.

    A table that some lack is left out, but for three that follow from the others: an utterance without utt2speed is
    played as it was recorded and, as in Kaldi, one without utt2uniq is its own original, and where some have
    `segments` an utterance without is the whole of its recording.
    Without wav.scp there is nothing to cut, and `segments` is left out.

    Returns:
        How many utterances there are, and the tables left out.
    """
    if target.resolve() in {source.resolve() for source in sources}:
        raise UserError(f"{target}: is one of the sources; name another directory for the whole")
    parts = [read_dir(source) for source in sources]
    if any("utt2uniq" in part for part in parts):
        for part in parts:
            part.setdefault("utt2uniq", {utterance: utterance for utterance in part["utt2spk"]})
    if any(SPEEDS in part for part in parts):
        for part in parts:
            part.setdefault(SPEEDS, {utterance: "1.0" for utterance in part["utt2spk"]})
    if any("segments" in part for part in parts):
        for part in parts:
            _cut_from_recordings(part)
    names = [name for name in ALL_TABLES if all(name in part for part in parts)]
    if "wav.scp" not in names:
        names = [name for name in names if name != "segments"]
    joined: Tables = {}
    for name in names:
        table: dict[str, str] = {}
        for source, part in zip(sources, parts, strict=True):
            for key, value in part[name].items():
                # a speaker or recording may be in several, an utterance may not
                if key in table and (name in UTTERANCE_TABLES or table[key] != value):
                    raise UserError(
                        f"{source}/{name}: {key} is in another of the directories too; copy one of them with a prefix"
                        " first (utils/copy_data_dir.py)"
                    )
                table[key] = value
        joined[name] = table
    cmvns = [source / CMVN for source in sources]
    put_dir(target, joined, _sum_cmvn(cmvns) if all(path.is_file() for path in cmvns) else None)
    return len(joined["utt2spk"]), [n for n in ALL_TABLES if n not in names and any(n in part for part in parts)]


def split_dir(directory: Path, parts: int, per_utterance: bool = False) -> Path:
    """Cut a directory into DIR/splitN/1..N (per speaker) or DIR/splitNutt/1..N; returns where.

    Parts that are newer than the directory's tables are left as they are.
    """
    tables = read_dir(directory)
    utt2spk = dict(_sorted(tables["utt2spk"]))
    pieces = _cut_evenly(list(utt2spk), parts) if per_utterance else _cut_by_speaker(utt2spk, parts, directory)
    target = directory / f"split{parts}{'utt' if per_utterance else ''}"
    newest = max((directory / name).stat().st_mtime_ns for name in tables)
    with only_writer(directory, name=".split.lock", wait=60):
        made = [target / str(part) for part in range(1, parts + 1)]
        if all(_holds(part, tables, newest) for part in made):
            return target
        strange = [
            path.name for path in target.glob("*") if not (path.name.isdecimal() and (path / "utt2spk").is_file())
        ]
        if strange:
            raise UserError(
                f"{target}: holds {strange[0]}, which is no part of a split, so it is not replaced; move it"
            )
        with atomic_dir(target) as fresh:
            for number, piece in enumerate(pieces, 1):
                put_dir(fresh / str(number), keep_utterances(tables, piece), _cmvn_of(directory))
    return target


def fix_dir(directory: Path) -> tuple[int, int]:
    """Sort the tables, drop repeated keys and what not all of them cover; the old files go to DIR/.backup.

    A byte-order mark and carriage returns, at which Kaldi's own tools stumble, are not written again.

    An utterance is kept if each of text (with words), text.src, feats.scp, segments and wav.scp that exists has it.

    Returns:
        How many utterances were kept, and how many there were.
    """
    if not (directory / "utt2spk").is_file():
        raise UserError(f"{directory}/utt2spk: no such file; name a data directory")
    present = [name for name in ALL_TABLES if (directory / name).is_file()]
    tables = {name: _loose_table(directory / name) for name in present}
    before = len(tables["utt2spk"])
    keep = set(tables["utt2spk"])
    for name in ("text", SOURCE, "feats.scp", "segments", "utt2lang"):
        if name in tables:
            keep &= set(tables[name])
    for name in ("spk2gender", "cmvn.scp"):  # as in Kaldi: a speaker whom these lack goes too
        if name in tables:
            keep = {utterance for utterance in keep if tables["utt2spk"][utterance] in tables[name]}
    if "wav.scp" in tables and "segments" in tables:
        recordings = {utterance: split_key(line)[0] for utterance, line in tables["segments"].items()}
        keep = {utterance for utterance in keep if recordings[utterance] in tables["wav.scp"]}
    elif "wav.scp" in tables:
        keep &= set(tables["wav.scp"])
    if not keep:
        raise UserError(f"{directory}: no utterance is in all of {', '.join(present)}; nothing was changed")
    fixed = keep_utterances(tables, keep)
    backup = directory / ".backup"
    if backup.is_symlink():
        raise UserError(f"{backup}: is a link, and nothing is written through it; remove it")
    backup.mkdir(exist_ok=True)
    with only_writer(directory, name=".fix.lock"):
        for name in [*present, "spk2utt"]:
            if (directory / name).is_file():
                (backup / name).unlink(missing_ok=True)  # a link there would be written through
                shutil.copyfile(directory / name, backup / name)
        for name, table in fixed.items():
            write_table(directory / name, table)
        write_table(directory / "spk2utt", spk2utt_of(dict(_sorted(fixed["utt2spk"]))))
    return len(keep), before


def _cut_from_recordings(part: Tables) -> None:
    """Give a directory without `segments` the ones that it could have: each utterance is its whole recording.

    The end is the utterance's duration where that is known, and else -1, which Kaldi takes for the recording's end.
    """
    if "segments" in part or "wav.scp" not in part:
        return
    lengths = {} if SPEEDS in part else part.get("utt2dur", {})  # which are those of the copies
    part["segments"] = {u: f"{u} 0 {lengths.get(u, '-1')}" for u in part["utt2spk"]}
    if lengths:
        part.setdefault("reco2dur", dict(lengths))


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


def _length(utterance: str, value: str) -> float:
    """Frames or seconds; UserError if it is no number."""
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if number != number:
        raise UserError(f"--shortest: {utterance} has the length {value!r}, expected a number; run kdasr feats again")
    return number


def _cmvn_of(directory: Path) -> bytes | None:
    """The directory's cmvn.npz: a part keeps the whole's statistics, which need no transcripts."""
    path = directory / CMVN
    return path.read_bytes() if path.is_file() else None


def _sum_cmvn(paths: Sequence[Path]) -> bytes:
    """Add up global statistics: what the joined features' would be; UserError if they are of other features."""
    # here: numpy takes a while to load, and the directory tools are to be quick
    from kdasr.data.cmvn import merge, packed, read_npz

    parts = [read_npz(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.sum.shape != parts[0].sum.shape:
            raise UserError(
                f"{path}: has {len(part.sum)} bins, {paths[0]} has {len(parts[0].sum)}; join sets of the same features"
            )
    return packed(merge(parts))


def _loose_table(path: Path) -> dict[str, str]:
    """A table in any order; of a key's lines the first counts, and a line without a value does not."""
    table: dict[str, str] = {}
    for line in read_lines(path):
        key, value = split_key(line.replace("\r", " "))
        if value:
            table.setdefault(key, value)
    return table


def _holds(part: Path, tables: Tables, newest: int) -> bool:
    """Whether a part of a split has every table, none older than the source."""
    return all((part / name).is_file() and (part / name).stat().st_mtime_ns >= newest for name in tables)


def _cut_evenly(keys: list[str], parts: int) -> list[list[str]]:
    """Contiguous pieces whose sizes differ by at most one, the larger ones first."""
    if not 1 <= parts <= len(keys):
        raise UserError(f"{parts} parts asked for, but there are {len(keys)} utterances; ask for 1 to {len(keys)}")
    size, larger = divmod(len(keys), parts)
    starts = [part * size + min(part, larger) for part in range(parts + 1)]
    return [keys[a:b] for a, b in itertools.pairwise(starts)]


def _cut_by_speaker(utt2spk: Mapping[str, str], parts: int, directory: Path) -> list[list[str]]:
    """Contiguous pieces of whole speakers, as Kaldi's split_scp.pl makes them.

    It starts from equal numbers of speakers and moves one over a border as long as that evens out the two sizes.
    """
    speakers = {speaker: columns(line) for speaker, line in spk2utt_of(utt2spk).items()}
    if not 1 <= parts <= len(speakers):
        raise UserError(
            f"{directory}: {parts} parts asked for, but there are {len(speakers)} speakers; ask for fewer, or cut"
            " with --per-utt"
        )
    names = list(speakers)
    pieces: list[list[str]] = [[] for _ in range(parts)]
    for index, name in enumerate(names):
        pieces[index * parts // len(names)].append(name)
    sizes = [sum(len(speakers[name]) for name in piece) for piece in pieces]

    def move(source: int, target: int) -> bool:
        """Hand the speaker at the border over, if the two sizes get closer."""
        if not pieces[source]:
            return False
        forward = target > source
        name = pieces[source][-1 if forward else 0]
        count = len(speakers[name])
        if abs((sizes[target] + count) - (sizes[source] - count)) >= abs(sizes[target] - sizes[source]):
            return False
        pieces[source].pop(-1 if forward else 0)
        pieces[target].insert(0 if forward else len(pieces[target]), name)
        sizes[source] -= count
        sizes[target] += count
        return True

    changed = True
    while changed:
        changed = False
        for piece in range(parts):
            if piece + 1 < parts:
                changed |= move(piece, piece + 1)
            if piece:
                changed |= move(piece, piece - 1)
    return [[utterance for name in piece for utterance in speakers[name]] for piece in pieces]
