"""Scoring one set: from two files to sclite's reports, Kaldi's lines and score.json."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import jiwer

from kdasr.errors import UserError
from kdasr.files import atomic_write, only_writer, read_table, write_json
from kdasr.score import detail, kaldi, network, sclite, stm, trn
from kdasr.score.align import Aligned, Counts, count, normal, total
from kdasr.score.intervals import interval
from kdasr.score.rules import Rules

FIRST_LETTER = 0x20000  # of 900,000 that are no blank
OTHERS = "expected two trn files (.trn), an .stm with a .ctm, or two Kaldi texts"


@dataclass(frozen=True)
class Sides:
    """The utterances of a set, in the order of the reports."""

    names: list[str]  # utterances, as per_utt names them
    ref: list[trn.Line]
    hyp: list[trn.Line]


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
    sides, rules = read(ref, hyp, utt2spk, rules)
    timed = rules.id_form == "stm"
    aligned = network.aligned(
        sides.ref, sides.hyp, rules.case_sensitive, rules.optional, rules.fragments, chars=rules.chars
    )
    counts = [count(one.operations) for one in aligned]
    everything = total(counts)
    if everything.words == 0:
        if rules.changes_words:
            raise UserError(f"{ref}: no words are left to score after filtering; check --nlsyms and --wsj_filter")
        raise UserError(f"{ref}: no utterance has a word, and there is no rate of none; name other references")
    kinds = ("sys", "raw", "pra", "dtl", *(() if timed else ("sgml",)))
    shared = rules.case_sensitive, rules.id_form, rules.chars
    made = detail.reports(aligned, *shared, kinds, optional=rules.optional, fragments=rules.fragments)
    speakers = sclite.by_speaker(aligned, rules.case_sensitive, rules.id_form)
    files = {f"hyp.trn.{kind}": data for kind, data in made.items()}
    files["result.txt"] = made["sys"] + made["raw"] + made["pra"]
    files[rules.name] = kaldi.wer_lines(everything, rules.name).encode()
    rows = ((name, one.ref, one.hyp, one.operations) for name, one in zip(sides.names, aligned, strict=True))
    files["per_utt"] = "".join(kaldi.per_utterance(*row) for row in rows).encode()
    files["per_spk"] = kaldi.per_speaker({name.decode(): one for name, one in speakers.items()}).encode()
    result = _result(everything, counts, len(speakers), aligned, rules, command)
    with only_writer(out):
        for name in ("score.json", "against.json"):  # a comparison is that of the score that is replaced
            (out / name).unlink(missing_ok=True)
        trn.write_trn(out / "ref.trn", sides.ref)
        trn.write_trn(out / "hyp.trn", sides.hyp)
        if check and timed:
            compare_timed(ref, hyp, files["result.txt"], rules)
        elif check:
            compare(out, aligned, made, rules)
        for name, data in files.items():
            with atomic_write(out / name, "wb") as stream:
                stream.write(data)
        write_json(out / "score.json", result)
    return result


def read(ref: str | Path, hyp: str | Path, utt2spk: str | Path | None, rules: Rules) -> tuple[Sides, Rules]:
    """Both sides by their files' endings, under the rules; and the rules, with id form stm for segments in time."""
    kinds = Path(ref).suffix, Path(hyp).suffix
    timed = kinds == (".stm", ".ctm")
    if not timed and kinds != (".trn", ".trn") and {".trn", ".stm", ".ctm"} & set(kinds):
        raise UserError(f"--ref {ref} --hyp {hyp}: {OTHERS}")
    if kinds == (".trn", ".trn") or timed:
        if utt2spk is not None:
            raise UserError(f"--utt2spk {utt2spk}: is for Kaldi texts; leave it out with {kinds[0]} files")
        if rules.changes_words and (timed or rules.type == "cer"):
            raise UserError(f"--ref {ref}: {kinds[0]} files take --chars for characters, and segments take no filters")
    if timed:
        lines = stm.read(ref, hyp, rules.case_sensitive)
        return Sides([line.id for line in lines[0]], *map(list, lines)), replace(rules, id_form="stm")
    if kinds == (".trn", ".trn"):
        right = trn.read_trn(hyp, rules.id_form, rules.case_sensitive)
        left = trn.read_trn(ref, rules.id_form, rules.case_sensitive)
        left = trn.matched(left, right, ref, hyp, rules.case_sensitive)
        if rules.changes_words:
            left, right = _filtered(left, rules, ref, False), _filtered(right, rules, hyp, True)
        return Sides([line.id for line in right], left, right), rules
    return _texts(ref, hyp, utt2spk, rules), rules


def _filtered(lines: Sequence[trn.Line], rules: Rules, path: object, hypothesis: bool) -> list[trn.Line]:
    """Lines of plain words under the rules."""
    found = []
    for line in lines:
        words = [word for word in line.words if isinstance(word, str)]
        if len(words) < len(line.words):
            raise UserError(f"{path}: ({line.id}) has alternatives, which filters do not reach; score without filters")
        found.append(trn.Line(line.id, rules.tokens(words, hypothesis)))
    return found


def _texts(ref: str | Path, hyp: str | Path, utt2spk: str | Path | None, rules: Rules) -> Sides:
    """The utterances of Kaldi texts in the order of LC_ALL=C, and both sides as trn lines, checked."""
    texts = trn.read_text(ref), trn.read_text(hyp)
    trn.same_utterances(*texts, ref, hyp)
    order = sorted(texts[0], key=str.encode)
    if utt2spk is not None:
        ids = trn.trn_ids(order, read_table(utt2spk), utt2spk, rules.case_sensitive)
    elif rules.id_form == "wsj":
        ids = {name: name for name in order}
    else:
        raise UserError(f"--utt2spk: needed for Kaldi texts such as {ref}, unless --id_form wsj finds the speakers")
    sides = []
    for path, text, hypothesis in zip((ref, hyp), texts, (False, True), strict=True):
        sides.append([trn.Line(ids[name], rules.tokens(text[name], hypothesis)) for name in order])
        for name, line in zip(order, sides[-1], strict=True):
            if why := trn.unusual(line.words) or sclite.unusual_id(line.id, rules.id_form):
                number = 1 + list(text).index(name)  # read_text has an utterance for every line
                raise UserError(f"{path}:{number}: {name}: {why}; take it out of the text (or name it in --nlsyms)")
    return Sides(order, *sides)


def compare(directory: Path, aligned: Sequence[Aligned], made: Mapping[str, bytes], rules: Rules) -> None:
    """Run the real sclite on ref.trn and hyp.trn and raise UserError at the first line that differs."""
    program = _program()
    kinds = detail.trusted(aligned, made)
    real = detail.real_reports(
        program, directory, rules.case_sensitive, rules.id_form, rules.chars, kinds, rules.sclite_options
    )
    for kind in kinds:
        _same(detail.undated(real[kind]), detail.undated(made[kind]), f"{directory}/hyp.trn.{kind}", program)
    print(f"{directory}: equal to {program} ({' '.join(kinds)})", file=sys.stderr)


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


def _result(
    everything: Counts, counts: Sequence[Counts], speakers: int, aligned: Sequence[Aligned], rules: Rules, command: str
) -> dict[str, Any]:
    low, high = interval([one.errors for one in counts], [one.words for one in counts])
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
        "jiwer": round(levenshtein_rate(aligned, rules.case_sensitive), 4),
        "signature": rules.signature,
        "command": command,
    }


def levenshtein_rate(aligned: Sequence[Aligned], case_sensitive: bool = False) -> float:
    """Error rate by jiwer in percent, costs 1/1/1: the least number of errors, which sclite's may exceed."""
    # jiwer strips and splits text in its own way; a letter for each word keeps it from changing them, and is quicker.
    letters: dict[bytes, str] = {}
    names = {"": ""}  # what an optional word that was left out stands beside
    for word in set(chain.from_iterable(chain(one.ref, one.hyp) for one in aligned)) - {""}:
        names[word] = letters.setdefault(normal(word, case_sensitive), chr(FIRST_LETTER + len(letters)))
    sides = ([one.ref for one in aligned], [one.hyp for one in aligned])
    ref, hyp = (["".join(map(names.__getitem__, words)) for words in side] for side in sides)
    found = jiwer.process_characters(ref, hyp)
    words = found.hits + found.substitutions + found.deletions
    errors = found.substitutions + found.deletions + found.insertions
    return 100.0 * errors / words if words else 0.0  # of optional words alone, which count for sclite as they are
