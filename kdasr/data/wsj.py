"""WSJ (LDC93S6, LDC94S13) -> Kaldi data directories, the sets and contents of Kaldi's egs/wsj/s5.

The corpus comes as discs, directories called 11-1.1 to 13-34.1, or merged into two trees `wsj0` and `wsj1`.
Index files on some of the discs say which files form a set:

    train_si84    11-13.1  tr_s_wv1.ndx             test_eval92[_5k]  11-13.1  si_et_20.ndx, si_et_05.ndx
    train_si284   the same and 13-34.1 si_tr_s.ndx  test_eval93[_5k]  13-32.1  h1_p0.ndx, h2_p0.ndx
    test_dev93[_5k]  13-34.1  h1_p0.ndx, h2_p0.ndx  dev_dt_20, _05    13-16.1  every .wv1 in si_dt_20, si_dt_05

Dropped and counted: audio that an index lists but that is not there (Kaldi does so for merged trees), and
audio without words (see wsj_text.transcripts). A transcript without audio is ignored, as in Kaldi.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from kdasr.data.kaldi_dir import put_dir
from kdasr.data.wsj_text import read_genders, read_index, sessions, transcripts
from kdasr.errors import UserError

_TRAIN_WSJ0 = ("11-13.1", "wsj0/doc/indices/train/tr_s_wv1.ndx")
_TRAIN_WSJ1 = ("13-34.1", "wsj1/doc/indices/si_tr_s.ndx")
# set: ((disc of the index, index), ...), and the utterances it has on LDC's discs
INDEXED: dict[str, tuple[tuple[tuple[str, str], ...], tuple[int, ...]]] = {
    "train_si84": ((_TRAIN_WSJ0,), (7138,)),
    "train_si284": ((_TRAIN_WSJ1, _TRAIN_WSJ0), (37416,)),
    "test_dev93": ((("13-34.1", "wsj1/doc/indices/h1_p0.ndx"),), (503,)),
    "test_eval92": ((("11-13.1", "wsj0/doc/indices/test/nvp/si_et_20.ndx"),), (333,)),
    "test_eval93": ((("13-32.1", "wsj1/doc/indices/wsj1/eval/h1_p0.ndx"),), (213,)),
    "test_dev93_5k": ((("13-34.1", "wsj1/doc/indices/h2_p0.ndx"),), (513,)),
    "test_eval92_5k": ((("11-13.1", "wsj0/doc/indices/test/nvp/si_et_05.ndx"),), (330,)),
    "test_eval93_5k": ((("13-32.1", "wsj1/doc/indices/wsj1/eval/h2_p0.ndx"),), (213, 215)),  # Kaldi's scripts disagree
}
# set: the directory below wsj1/ on disc 13-16.1 whose .wv1 files form it
LISTED = {"dev_dt_20": (r".._.._20", (503,)), "dev_dt_05": (r".._.._05", (913,))}
GENDERS = (
    ("11-13.1", "wsj0/doc/spkrinfo.txt"),
    ("13-32.1", "wsj1/doc/evl_spok/spkrinfo.txt"),
    ("13-34.1", "wsj1/doc/dev_spok/spkrinfo.txt"),
    ("13-34.1", "wsj1/doc/train/spkrinfo.txt"),
)
WSJ0_SPEAKERS = "wsj0-train-spkrinfo.txt"  # on no disc: LDC put it on the web


@dataclass
class Corpus:
    """Where the discs, or the merged trees, are; and what their directories hold, read once each."""

    discs: dict[str, Path] = field(default_factory=dict)  # '11-1.1': its directory
    trees: dict[str, Path] = field(default_factory=dict)  # 'wsj0', 'wsj1': its directory
    listings: dict[Path, dict[str, str]] = field(default_factory=dict)
    places: dict[tuple[str, str], Path | None] = field(default_factory=dict)  # directories that locate has found

    def names(self, directory: Path) -> dict[str, str]:
        """A directory's entries by their lower-case names; a disc may have been copied in capitals."""
        if directory not in self.listings:
            found = sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []
            # of two spellings the one in small letters, which sorts last, is taken
            self.listings[directory] = {re.sub(r";1$", "", name).lower(): name for name in found}
        return self.listings[directory]

    def root(self, disc: str, path: str) -> Path | None:
        """The directory that `path` of this disc is below; None if neither the disc nor its tree was given."""
        top = path.partition("/")[0].lower()
        if disc in self.discs:
            return self.discs[disc]
        return self.trees[top].parent if top in self.trees else None

    def locate(self, disc: str, path: str) -> Path | None:
        """A file or directory of a disc, its name in upper or lower case; None if it is not there."""
        head, _, name = path.rpartition("/")
        if disc not in self.discs and not head:
            return self.trees.get(path.lower())
        if (disc, head) not in self.places:
            self.places[disc, head] = self.locate(disc, head) if head else self.discs[disc]
        parent = self.places[disc, head]
        real = self.names(parent).get(name.lower()) if parent else None
        return parent / real if parent and real else None


def write_sets(discs: list[Path], out: Path, spkrinfo: Path | None) -> None:
    """Write every set that the discs have an index for; nothing, if one of them cannot be made.

    Args:
        discs: discs, merged trees, or directories that have such in them.
        out: where the sets go.
        spkrinfo: LDC's table of WSJ0's training speakers; None: it is looked for beside the discs.

    Raises:
        UserError: what `find_discs`, `list_audio` and the readers of the discs' texts raise.
    """
    corpus = find_discs(discs)
    sets, absent, lost = {}, [], {}
    for name in [*INDEXED, *LISTED]:
        audio, missing, reason = list_audio(corpus, name)
        if reason:
            absent.append(f"{name} ({reason})")
        else:
            sets[name], lost[name] = audio, missing
    dots, others = sessions(find_dots(corpus))
    genders = read_genders(gender_files(corpus, spkrinfo))
    tables, notes = {}, {}
    for name, audio in sets.items():
        tables[name], notes[name] = make_tables(name, audio, dots, genders)
        if lost[name]:
            notes[name].insert(0, f"{len(lost[name])} listed but not there (first: {lost[name][0]})")

    counts = []
    for name, table in tables.items():
        written = put_dir(out / name, table)
        found, speakers = len(table["utt2spk"]), len(set(table["utt2spk"].values()))
        state = "" if written else " (unchanged)"
        print("; ".join([f"{out / name}: {found} utterances, {speakers} speakers{state}", *notes[name]]))
        expected = (INDEXED.get(name) or LISTED[name])[1]
        if found not in expected:
            counts.append(f"{name} {found} ({' or '.join(map(str, expected))})")
    if absent:
        print(f"absent: {', '.join(absent)}")
    if others:
        print(f"{others} .dot files are called otherwise than a session's (011c0200.dot) and were not read")
    if counts:
        print(f"note: not all of WSJ, or not WSJ itself: utterances found (on LDC's discs): {', '.join(counts)}")


def find_discs(paths: list[Path]) -> Corpus:
    """The discs and merged trees that the arguments are, or have up to two levels below them.

    Raises:
        UserError: an argument that has none, or a disc in two places.
    """
    corpus = Corpus()
    for given in paths:
        path = Path(os.path.abspath(given))  # noqa: PTH100 (a link keeps its name, which is the disc's)
        if not path.is_dir():
            raise UserError(f"{given}: no such directory; give WSJ's discs (11-1.1 ... 13-34.1) or their parent")
        if not _look(corpus, path, depth=2):
            raise UserError(
                f"{given}: no WSJ disc (11-1.1 ... 13-34.1) and no merged wsj0/ or wsj1/ is there or two levels below;"
                " give the directory that has them"
            )
    return corpus


def _look(corpus: Corpus, path: Path, depth: int) -> bool:
    """Enter what is at or below `path`; whether there was anything."""
    match = re.fullmatch(r"(\d+)[-_](\d+)[._](\d+)", path.name)
    tree = path.name.lower() in ("wsj0", "wsj1") and {"doc", "si_tr_s", "si_et_20"} & set(corpus.names(path))
    if match or tree:
        table = corpus.discs if match else corpus.trees
        key = f"{match[1]}-{match[2]}.{match[3]}" if match else path.name.lower()
        there = table.setdefault(key, path)
        if not there.samefile(path):
            raise UserError(f"{path}: {key} is at {there} too; give one of the two")
        return True
    if depth == 0:
        return False
    children = [path / name for name in sorted(corpus.names(path).values())]
    return any([_look(corpus, child, depth - 1) for child in children if child.is_dir()])


def list_audio(corpus: Corpus, name: str) -> tuple[dict[str, Path], list[str], str]:
    """The audio files of a set.

    Returns:
        File by utterance id, listed files that are not there, and why the set cannot be made, '' if it can.

    Raises:
        UserError: a training set's disc or all its files are missing, an utterance occurs twice, a bad line.
    """
    if name in LISTED:
        pattern = LISTED[name][0]
        top = corpus.locate("13-16.1", "wsj1")
        names = {} if top is None else corpus.names(top)
        directories = [top / real for small, real in names.items() if top and re.fullmatch(pattern, small)]
        files = sorted(file for directory in directories for file in _walk(directory, ".wv1"))
        return _by_utterance(name, files), [], "" if files else f"no wsj1/si_dt_{name[-2:]} on 13-16.1"

    files, missing = [], []
    train = name.startswith("train")
    for disc, path in INDEXED[name][0]:
        index = corpus.locate(disc, path)
        if index is None:
            if name == "train_si84":
                raise UserError(f"disc {disc} is needed for the training set, which its {path} lists; add the disc")
            what = f"no {path}" if corpus.root(disc, path) else f"no disc {disc}"
            return {}, [], what
        for listed_on, audio in read_index(index):
            # the index of eval93 names the wrong disc
            on = "13-33.1" if "eval93" in name and listed_on == "13-32.1" else listed_on
            audio = audio if audio.lower().endswith(".wv1") else f"{audio}.wv1"  # eval92's have no extension
            if _excluded(corpus, on, audio):
                continue
            if corpus.root(on, audio) is None:
                if train:
                    raise UserError(f"{index}: lists {audio} on disc {on}, which was not given; add the disc")
                return {}, [], f"no disc {on}"
            file = corpus.locate(on, audio)
            if file is None:
                missing.append(f"{on}/{audio}")
            else:
                files.append(file)
    if not files and train:
        raise UserError(f"{name}: none of the {len(missing)} files that its index lists is there; copy the discs whole")
    if not files:
        return {}, [], f"none of its {len(missing)} files is there"
    return _by_utterance(name, files), missing, ""


def _excluded(corpus: Corpus, disc: str, path: str) -> bool:
    """Speaker 401 of disc 11-2.1 (of merged trees: any 401), whom Kaldi's recipe leaves out: 7138 of 7236 stay."""
    on_disc = disc == "11-2.1" or disc not in corpus.discs
    return on_disc and path.lower().startswith("wsj0/si_tr_s/401")


def _by_utterance(name: str, files: list[Path]) -> dict[str, Path]:
    table: dict[str, Path] = {}
    for file in files:
        utterance = file.name.lower().split(".")[0]
        if not re.fullmatch(r"\w{8}", utterance):
            raise UserError(f"{file}: expected a name of eight characters as in 011c0201.wv1; copy the disc again")
        if utterance in table:
            raise UserError(f"{name}: {utterance} is in it twice ({table[utterance]}, {file}); copy the discs again")
        table[utterance] = file
    return table


def find_dots(corpus: Corpus) -> list[Path]:
    """Every `*.dot` file on every disc, sorted within a disc."""
    roots = [*corpus.discs.values(), *corpus.trees.values()]
    found = []
    for root in tqdm(roots, desc="looking for transcripts", unit="disc", mininterval=1, leave=False):
        found += sorted(_walk(root, ".dot"))
    return found


def _walk(directory: Path, suffix: str) -> list[Path]:
    """The files below a directory with this suffix in any case, through links too, each directory once."""
    seen, files = set(), []
    for here, below, names in os.walk(directory, followlinks=True):
        if (real := os.path.realpath(here)) in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        files += [Path(here, name) for name in names if name.lower().endswith(suffix) and not name.startswith(".")]
    return files


def gender_files(corpus: Corpus, spkrinfo: Path | None) -> list[Path]:
    """The speaker tables that are there."""
    found = [file for disc, path in GENDERS if (file := corpus.locate(disc, path))]
    if spkrinfo is not None:
        return [*found, spkrinfo]
    parents = sorted({root.parent for root in [*corpus.discs.values(), *corpus.trees.values()]})
    return found + [p / WSJ0_SPEAKERS for p in parents if (p / WSJ0_SPEAKERS).is_file()][:1]


def make_tables(
    name: str, audio: dict[str, Path], dots: dict[str, Path], genders: dict[str, str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """A set's tables, and notes on what was left out of it.

    Kaldi writes spk2gender for the speakers it knows, and its own validation then refuses the directory if it
    does not know all; here the table is left out in that case, since nothing in kdasr needs it.
    """
    texts, without = transcripts(sorted(audio), dots, name)
    utt2spk = {utterance: utterance[:3] for utterance in texts}
    tables = {"text": texts, "wav.scp": {u: str(audio[u]) for u in texts}, "utt2spk": utt2spk}
    notes = [f"{len(without)} without a transcript (first: {without[0]})"] if without else []
    unknown = sorted({speaker for speaker in utt2spk.values() if speaker not in genders})
    if unknown:
        notes.append(f"no spk2gender: {len(unknown)} speakers of unknown gender (first: {unknown[0]})")
    else:
        tables["spk2gender"] = {speaker: genders[speaker] for speaker in utt2spk.values()}
    return tables, notes
