"""Somebody's own data directories as the sets of a recipe: copied, so that nothing is written where they are.

The copies have the audio and the transcripts alone; features, lengths in frames and statistics are made anew.

Without sets that are transcribed, a finished teacher's labels are all that a student learns from. Then one in twenty of
the untranscribed utterances, 500 at most, becomes the validation set: those that come first in the order of their
SHA-256, so that the same are taken in every run.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from kdasr.data.folder import folder_tables
from kdasr.data.holdout import shuffled
from kdasr.data.kaldi_check import validate
from kdasr.data.kaldi_dir import keep_utterances, put_dir, read_dir
from kdasr.data.places import parse
from kdasr.data.segments import Cutting, cut_tables, length_of
from kdasr.data.utterances import AS_IT_IS, Reading, audio_in
from kdasr.errors import UserError

KEPT = ("wav.scp", "segments", "text", "utt2spk", "spk2gender", "reco2dur", "utt2dur")
TRAIN, UNLABELLED = "train", "unlabelled"  # names of sets: the latter is the one that nobody transcribed
VALID = "valid"
LONGEST = 40.0  # seconds: what attention makes of more takes gigabytes, and models trained on sentences lose the thread
SHARE = 20  # one in so many utterances is held out for validation, ...
MOST = 500  # ... and no more than these
Tables = dict[str, dict[str, str]]


def write_sets(
    sets: Mapping[str, Path],
    out: Path,
    base: Path,
    cut_seconds: float = 0.0,
    reading: Reading = AS_IT_IS,
    nj: int = 1,
) -> None:
    """Copy the directories of all sets to out/NAME, and print their sizes.

    Args:
        sets: a data directory for each name; the set called `unlabelled` has no text, and may be a folder of audio.
            Where there is no set called `valid`, a share of it becomes that.
        out: where the copies go.
        base: directory that relative paths of audio are taken from.
        cut_seconds: utterances of the untranscribed set that are longer are cut at pauses; 0: they are refused.
        reading: how the audio will be read.
        nj: processes.

    Raises:
        UserError: a directory that is no data directory or is wrong, a copy that would replace an original, an
            utterance or recording that nobody transcribed and that is in another set, too, or is too long, or audio
            whose header says that it will not be read.
    """
    from kdasr.data.headers import HeaderCheck  # loads soundfile, which --help need not wait for

    for name, source in sets.items():
        if out.resolve() == source.resolve() or (out / name).resolve() == source.resolve():
            raise UserError(f"{source}: would be replaced by its copy; name another --out")
    tables = {name: own_tables(source, base, text=name != UNLABELLED) for name, source in sets.items()}
    refuse_overlap(tables, sets)
    audio = HeaderCheck(reading)
    for name, source in sets.items():
        audio.check(tables[name], source)
    sources = dict(sets)
    if UNLABELLED in sets:
        source = sets[UNLABELLED]
        if cut_seconds:
            how = Cutting(max_seconds=cut_seconds, whole_up_to=cut_seconds)
            tables[UNLABELLED], notes = cut_tables(tables[UNLABELLED], source, how, reading, nj)
            print("".join(f"{source}: {line}\n" for line in notes), end="")
        else:
            refuse_long(tables[UNLABELLED], source)
        if VALID not in sets:
            tables[VALID], tables[UNLABELLED] = held_out(tables[UNLABELLED], source)
            sources[VALID] = source
    for name, source in sources.items():
        put_dir(out / name, tables[name])
        try:
            warnings = validate(out / name, feats=False, text="text" in tables[name], spk_sort=False)
        except UserError as error:
            raise UserError(f"{source}: {str(error).removeprefix(f'{out / name}/')}") from None
        speakers = len(set(tables[name]["utt2spk"].values()))
        print(f"{out / name}: {len(tables[name]['utt2spk'])} utterances, {speakers} speakers, from {source}")
        print("".join(f"{line}\n" for line in warnings), end="")


def refuse_long(tables: Tables, source: Path) -> None:
    """UserError that names the longest utterance, if one has more than LONGEST seconds."""
    lengths = {name: length_of(row) for name, row in audio_in(tables, source).items()}
    longest = max(lengths, key=lambda name: lengths[name])
    if lengths[longest] > LONGEST:
        many = sum(length > LONGEST for length in lengths.values())
        raise UserError(
            f"{source}: {longest} lasts {lengths[longest]:.0f} s ({many} of {len(lengths)} last more than "
            f"{LONGEST:.0f}), too long for a teacher to label at once; have such ones cut at pauses: --cut_seconds 20"
        )


def held_out(tables: Tables, source: Path) -> tuple[Tables, Tables]:
    """The tables of the share that is for validation, and of the rest; UserError for a single utterance."""
    groups = shuffled(tables["utt2spk"], 0, {})
    if len(groups) < 2:
        raise UserError(f"{source}: has one utterance, and one is needed for validation; add more (--cut_seconds 20)")
    count = min(max(1, len(groups) // SHARE), MOST)
    valid, rest = ([one for group in part for one in group] for part in (groups[:count], groups[count:]))
    return keep_utterances(tables, valid), keep_utterances(tables, rest)


def own_tables(source: Path, base: Path, text: bool) -> Tables:
    """The tables of a data directory that are kept, with whole paths.

    Args:
        source: the directory.
        base: what relative paths of its wav.scp are taken from.
        text: whether its transcripts are taken, which have to be there then.

    Raises:
        UserError: wav.scp or text is not there, or an audio file is not.
    """
    if not source.is_dir() or not any(source.iterdir()):
        what = "is empty" if source.is_dir() else "no such directory"
        raise UserError(f"{source}: {what}; expected a data directory (wav.scp, utt2spk, text)")
    if not text and not (source / "utt2spk").exists() and not (source / "wav.scp").exists():
        tables, notes = folder_tables(source)  # audio files without any list
        print("".join(f"{source}: {line}\n" for line in notes), end="")
        return tables
    found = read_dir(source)
    for name in ("wav.scp", *(("text",) if text else ())):
        if name not in found:
            raise UserError(f"{source}/{name}: no such file; a data directory has wav.scp, utt2spk and text")
        if not found[name]:
            raise UserError(f"{source}/{name}: is empty; name a directory that has utterances")
    kept = {name: table for name, table in found.items() if name in KEPT and (text or name != "text")}
    kept["wav.scp"] = {key: whole(entry, base, f"{source}/wav.scp: {key}") for key, entry in found["wav.scp"].items()}
    return kept


def whole(entry: str, base: Path, where: str) -> str:
    """An entry of wav.scp with a whole path; commands stay as they are. UserError if its file is not there."""
    place = parse(entry, where)
    if place.command:
        return entry
    path = (base / place.path).resolve()
    if not path.is_file():
        raise UserError(f"{where}: {path}: no such file; relative paths are taken from {base}")
    if place.channel:  # which an entry says by its command alone
        return f"sox {shlex.quote(str(path))} -t wav - remix {place.channel} |"
    return place._replace(path=str(path)).entry()


def refuse_overlap(tables: Mapping[str, Tables], sets: Mapping[str, Path]) -> None:
    """UserError if an utterance or audio of the untranscribed set is in another set, or two sets share utterances.

    A student would have heard what it is tested on. One directory may serve for validation and as a test set.
    """
    names = list(sets)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            if sets[one].resolve() == sets[other].resolve() and not {TRAIN, UNLABELLED} & {one, other}:
                continue
            for table, column in (("utt2spk", "utterance"), ("wav.scp", "audio")):
                mine, theirs = tables[one][table], tables[other][table]
                if table == "wav.scp":
                    if UNLABELLED not in (one, other):
                        continue
                    mine, theirs = dict.fromkeys(mine.values(), ""), dict.fromkeys(theirs.values(), "")
                if both := mine.keys() & theirs.keys():
                    raise UserError(
                        f"{sets[one]}, {sets[other]}: {column} {min(both)} is in both; take it out of one of them"
                    )
