"""Scoring one set: from two files to sclite's reports, Kaldi's lines and score.json."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rapidfuzz.distance.Levenshtein import distance

from kdasr.errors import UserError
from kdasr.files import fresh_files, only_writer, put_files, write_json
from kdasr.score import detail, kaldi, network, sclite, stm, trn
from kdasr.score.align import Aligned, Counts, normal, total
from kdasr.score.intervals import interval
from kdasr.score.rules import Rules
from kdasr.score.running import Running
from kdasr.score.sides import Sides, read

FIRST_LETTER = 0x20000  # of 900,000 that are no blank


def score(
    ref: str | Path,
    hyp: str | Path,
    utt2spk: str | Path | None,
    directory: str | Path,
    rules: Rules,
    check: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Score one set and write `directory`: both sides as trn, sclite's reports, per_utt, per_spk, and wer or cer.

    score.json comes last: while it is there, the other files belong to it.

    Args:
        ref: references: a trn file, an stm file, or a Kaldi text; an utterance may be without words.
        hyp: hypotheses of the same utterances: trn, ctm or text; words may be absent.
        utt2spk: speakers, for Kaldi texts (not needed by id form wsj).
        directory: for the results; files of an earlier score are replaced, others are left alone.
        rules: what is compared.
        check: compare the reports with those of the real sclite.
        command: recorded in score.json.

    Returns:
        What score.json holds.

    Raises:
        UserError: malformed or unlike inputs, nothing to score, or a difference from sclite.
    """
    out = Path(directory)
    with fresh_files(out) as fresh, read(ref, hyp, utt2spk, rules) as sides, contextlib.ExitStack() as files:
        rules = sides.rules
        found = _scored(sides, fresh, lambda: files.enter_context(tempfile.TemporaryFile(dir=fresh)))
        everything = found.everything
        if everything.words == 0:
            if rules.changes_words:
                raise UserError(f"{ref}: no words are left to score after filtering; check --nlsyms and --wsj_filter")
            raise UserError(f"{ref}: no utterance has a word, and there is no rate of none; name other references")
        kinds = found.reports.kinds
        for kind in kinds:
            with open(fresh / f"hyp.trn.{kind}", "wb") as stream:
                found.reports.write(kind, stream)
        with open(fresh / "result.txt", "wb") as stream:
            for kind in ("sys", "raw", "pra"):
                with open(fresh / f"hyp.trn.{kind}", "rb") as report:
                    shutil.copyfileobj(report, stream)
        (fresh / rules.name).write_bytes(kaldi.wer_lines(everything, rules.name).encode())
        speakers = {name.decode(): one for name, one in found.reports.speakers().items()}
        (fresh / "per_spk").write_bytes(kaldi.per_speaker(speakers).encode())
        result = _result(found, len(speakers), rules, command)
        with only_writer(out):
            for name in ("score.json", "against.json"):  # a comparison is that of the score that is replaced
                (out / name).unlink(missing_ok=True)
            if check and rules.id_form == "stm":
                compare_timed(ref, hyp, (fresh / "result.txt").read_bytes(), rules)
            elif check:
                made = {kind: (fresh / f"hyp.trn.{kind}").read_bytes() for kind in kinds}
                compare(fresh, out, found.longest, made, rules)
            put_files(fresh, out)
            write_json(out / "score.json", result)
    return result


@dataclass
class Scored:
    """What is known of a set once all of it was read."""

    reports: Running
    longest: int  # bytes of its longest word
    levenshtein: tuple[int, int]  # errors, words

    @property
    def everything(self) -> Counts:
        """The sum of all utterances."""
        return total(self.reports.speakers().values())


def _scored(sides: Sides, fresh: Path, room: Callable[[], IO[bytes]]) -> Scored:
    """Align a set; ref.trn, hyp.trn and per_utt are written into `fresh` on the way, other texts into `room()`."""
    rules = sides.rules
    shared = rules.case_sensitive, rules.id_form, rules.chars
    forgiving = rules.optional, rules.fragments
    kinds = ("sys", "raw", "pra", "dtl", *(() if rules.id_form == "stm" else ("sgml",)))
    errors = words = longest = 0
    with contextlib.ExitStack() as stack:
        names = ("ref.trn", "hyp.trn", "per_utt")
        files = [stack.enter_context(open(fresh / name, "w", encoding="utf-8", newline="\n")) for name in names]
        reports = Running(*shared, kinds, None, *forgiving, room=room)
        for names, ref, hyp in sides.some:
            aligned = network.aligned(ref, hyp, rules.case_sensitive, *forgiving, chars=rules.chars)
            reports.add(aligned)
            for file, lines in zip(files, (ref, hyp), strict=False):
                file.writelines(map(trn.written, lines))
            rows = ((name, one.ref, one.hyp, one.operations) for name, one in zip(names, aligned, strict=True))
            files[2].writelines(kaldi.per_utterance(*row) for row in rows)
            longest = max(longest, detail.longest_word(aligned))
            more = levenshtein(aligned, rules.case_sensitive, exact=not any(forgiving))
            errors, words = errors + more[0], words + more[1]
    return Scored(reports, longest, (errors, words))


def compare(directory: Path, shown: Path, longest: int, made: Mapping[str, bytes], rules: Rules) -> None:
    """Run the real sclite on ref.trn and hyp.trn and raise UserError at the first line that differs.

    Args:
        directory: of these two.
        shown: the directory that messages name.
        longest: bytes of the longest word.
        made: our reports.
        rules: of the score.
    """
    program = _program()
    kinds = detail.trusted(longest, made)
    real = detail.real_reports(
        program, directory, rules.case_sensitive, rules.id_form, rules.chars, kinds, rules.sclite_options
    )
    for kind in kinds:
        _same(detail.undated(real[kind]), detail.undated(made[kind]), f"{shown}/hyp.trn.{kind}", program)
    print(f"{shown}: equal to {program} ({' '.join(kinds)})", file=sys.stderr)


def compare_timed(ref: str | Path, hyp: str | Path, ours: bytes, rules: Rules) -> None:
    """The same for an stm and a ctm file."""
    program = _program()
    real = stm.real_reports(program, ref, hyp, rules.case_sensitive, rules.sclite_options, chars=rules.chars)
    _same(real, ours, "result.txt", program)
    print(f"{ref}, {hyp}: equal to {program} (sys raw pra)", file=sys.stderr)


def _program() -> str:
    program = sclite.find()
    if not program:
        raise UserError("--check: no sclite found; install it (Debian: sctk), name it in $SCLITE, or leave --check out")
    return program


def _same(real: bytes, ours: bytes, name: str, program: str) -> None:
    if real == ours:
        return
    pairs = zip(real.split(b"\n"), ours.split(b"\n"), strict=False)
    number, (theirs, mine) = next(((k, two) for k, two in enumerate(pairs, 1) if two[0] != two[1]), (0, (b"", b"")))
    raise UserError(
        f"{name}:{number}: differs from {program} (sclite {theirs!r}, kdasr {mine!r}); please report it with its input"
    )


def _result(found: Scored, speakers: int, rules: Rules, command: str) -> dict[str, Any]:
    everything, counts = found.everything, found.reports.counts()
    low, high = interval(counts[:, 1:].sum(axis=1), counts[:, :3].sum(axis=1))
    errors, words = found.levenshtein
    return {
        "type": rules.name,
        "counts": {
            "sentences": everything.sentences,
            "wrong_sentences": everything.wrong_sentences,
            "speakers": speakers,
            "words": everything.words,
            "cor": everything.cor,
            "sub": everything.sub,
            "del": everything.del_,
            "ins": everything.ins,
            "errors": everything.errors,
        },
        rules.name: round(everything.wer, 4),
        "ser": round(everything.ser, 4),
        "interval95": [round(low, 4), round(high, 4)],
        # 0 of optional words alone, which count for sclite as they are
        "jiwer": round(100.0 * errors / words if words else 0.0, 4),
        "signature": rules.signature,
        "command": command,
    }


def levenshtein(aligned: Sequence[Aligned], case_sensitive: bool = False, exact: bool = False) -> tuple[int, int]:
    """Errors at costs 1/1/1 and reference words, as jiwer counts them (by the same library).

    That is the least number of errors, which sclite's may exceed; of none or one it is the same.

    Args:
        aligned: utterances.
        case_sensitive: whether A is not a.
        exact: whether words that count as correct are alike.
    """
    errors = words = 0
    names = Letters(case_sensitive)
    for one in aligned:
        wrong = len(one.operations) - one.operations.count("C")
        if exact and wrong <= 1:
            errors, words = errors + wrong, words + len(one.ref)
            continue
        ref, hyp = ("".join(map(names.__getitem__, side)) for side in (one.ref, one.hyp))
        errors, words = errors + distance(ref, hyp), words + len(ref)
    return errors, words


class Letters(dict[str, str]):
    """A letter for each word, the same for words that are alike; none for "", beside which an optional word stands."""

    def __init__(self, case_sensitive: bool) -> None:
        super().__init__({"": ""})
        self._case_sensitive, self._known = case_sensitive, dict[bytes, str]()

    def __missing__(self, word: str) -> str:
        form = normal(word, self._case_sensitive)
        self[word] = letter = self._known.setdefault(form, chr(FIRST_LETTER + len(self._known)))
        return letter
