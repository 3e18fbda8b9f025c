"""`kdasr score`: word and character error rates of a decoded set, counted as sclite counts them."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kdasr import __version__
from kdasr.errors import UserError
from kdasr.files import atomic_write, only_writer, read_lines, read_table, write_json
from kdasr.score import sclite, trn
from kdasr.score.align import Counts, align_all, count, normal, pair, total

EXAMPLES = """examples:
  # word error rate of one decoded set
  kdasr score --ref dump/fbank/test/text --hyp exp/s/decode_beam/test/text --utt2spk dump/fbank/test/utt2spk \\
      --dir exp/s/decode_beam/test/score_wer
  # character error rate, noise symbols left out of both sides
  kdasr score --ref ... --hyp ... --utt2spk ... --dir .../score_cer --type cer --nlsyms dump/tokens/char/nlsyms.txt
  # WSJ as Kaldi scores it, compared with the real sclite (found by $SCLITE, PATH, or where Debian's sctk puts it)
  kdasr score --ref ... --hyp ... --utt2spk ... --dir .../score_wer --wsj_filter --check
"""


@dataclass(frozen=True)
class Rules:
    """What happens to both sides before they are compared; printed as the score's signature."""

    type: str = "wer"  # or "cer"
    nlsyms: frozenset[str] = frozenset()  # removed symbols
    wsj_filter: bool = False
    case_sensitive: bool = False

    @property
    def signature(self) -> str:
        """One line that must be equal for two scores to be comparable."""
        return "|".join(
            [
                "costs:433",
                f"case:{'cs' if self.case_sensitive else 'lc'}",
                f"nlsyms:{'rm' if self.nlsyms else 'keep'}",
                f"filter:{'wsj' if self.wsj_filter else 'none'}",
                f"tok:{'char' if self.type == 'cer' else 'word'}",
                f"kdasr:{__version__}",
            ]
        )

    def tokens(self, words: Sequence[str]) -> tuple[str, ...]:
        """A transcript's tokens under these rules."""
        kept = trn.wsj_filter(words) if self.wsj_filter else words
        return tuple((trn.char_tokens if self.type == "cer" else trn.word_tokens)(kept, self.nlsyms))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr score`."""
    parser.add_argument("--ref", required=True, help="reference transcripts, a Kaldi text file")
    parser.add_argument("--hyp", required=True, help="hypotheses, a Kaldi text file with the same utterances")
    parser.add_argument("--utt2spk", required=True, help="speaker of each utterance (it may hold more utterances)")
    parser.add_argument("--dir", required=True, help="directory for the results, made if need be")
    parser.add_argument("--type", choices=("wer", "cer"), default="wer", help="words or characters (default wer)")
    parser.add_argument("--nlsyms", help="file of symbols, one a line, removed from both sides (default: none)")
    parser.add_argument("--wsj_filter", action="store_true", help="remove <NOISE> <SPOKEN_NOISE> <UNK> : * as Kaldi")
    parser.add_argument("--case_sensitive", action="store_true", help="A is not a (default: it is, as for sclite)")
    parser.add_argument("--check", action="store_true", help="run the real sclite too and fail on any difference")


def run(args: argparse.Namespace) -> None:
    """Score, and print Kaldi's lines with the interval and the signature."""
    nlsyms = frozenset(filter(None, (line.strip() for line in read_lines(args.nlsyms)))) if args.nlsyms else frozenset()
    rules = Rules(args.type, nlsyms, args.wsj_filter, args.case_sensitive)
    words = {key: value for key, value in vars(args).items() if value not in (None, False)}
    command = ["kdasr", "score", *(part for key, value in words.items() for part in _option(key, value))]
    result = score(args.ref, args.hyp, args.utt2spk, args.dir, rules, args.check, shlex.join(command))
    low, high = result["interval95"]
    print((Path(args.dir) / args.type).read_text(encoding="utf-8"), end="")
    print(f"95 % interval {low:.2f} to {high:.2f}, bootstrap over utterances")
    print(f"Levenshtein (jiwer) {result['jiwer']:.2f}")
    print(result["signature"])


def score(
    ref: str | Path,
    hyp: str | Path,
    utt2spk: str | Path,
    directory: str | Path,
    rules: Rules,
    check: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Score one set and write `directory`: ref.trn, hyp.trn, hyp.trn.{sys,raw,pra}, result.txt, per_utt, wer or cer.

    score.json comes last: while it is there, the other files belong to it.

    Args:
        ref: Kaldi text, every utterance with words.
        hyp: Kaldi text of the same utterances; words may be absent.
        utt2spk: speakers.
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
    order, lines = _lines(ref, hyp, utt2spk, rules)
    keys = [[[normal(word, rules.case_sensitive) for word in line.words] for line in side] for side in lines]
    operations = align_all(*keys)
    aligned = [
        sclite.Aligned(left.id, left.words, right.words, steps)
        for left, right, steps in zip(*lines, operations, strict=True)
    ]
    counts = [count(steps) for steps in operations]
    everything = total(counts)
    if everything.words == 0:
        raise UserError(f"{ref}: no words are left to score after filtering; check --nlsyms and --wsj_filter")

    speakers = sclite.by_speaker(aligned, rules.case_sensitive)
    reports = {
        "hyp.trn.sys": sclite.summary(speakers, raw=False),
        "hyp.trn.raw": sclite.summary(speakers, raw=True),
        "hyp.trn.pra": sclite.alignments(aligned, rules.case_sensitive),
    }
    reports["result.txt"] = b"".join(reports.values())
    reports[rules.type] = kaldi_lines(everything, rules.type).encode()
    reports["per_utt"] = "".join(map(_per_utt, order, aligned, counts)).encode()
    result = _result(everything, counts, len(speakers), keys, rules, command)
    with only_writer(out):
        (out / "score.json").unlink(missing_ok=True)
        trn.write_trn(out / "ref.trn", lines[0])
        trn.write_trn(out / "hyp.trn", lines[1])
        if check:
            compare(out, reports, rules.case_sensitive)
        for name, data in reports.items():
            with atomic_write(out / name, "wb") as stream:
                stream.write(data)
        write_json(out / "score.json", result)
    return result


def kaldi_lines(counts: Counts, name: str) -> str:
    """Kaldi's compute-wer lines, `%WER 7.94 [ 448 / 5643, 53 ins, 36 del, 359 sub ]` and on."""
    return (
        f"%{name.upper()} {counts.wer:.2f} [ {counts.errors} / {counts.words}, "
        f"{counts.ins} ins, {counts.del_} del, {counts.sub} sub ]\n"
        f"%SER {counts.ser:.2f} [ {counts.wrong_sentences} / {counts.sentences} ]\n"
        f"Scored {counts.sentences} sentences, 0 not present in hyp.\n"
    )


def compare(directory: Path, reports: Mapping[str, bytes], case_sensitive: bool) -> None:
    """Run the real sclite on ref.trn and hyp.trn and raise UserError at the first line that differs."""
    program = sclite.find()
    if not program:
        raise UserError("--check: no sclite found; install it (Debian: sctk), name it in $SCLITE, or leave --check out")
    ours = reports["result.txt"]
    longest = max(map(len, (directory / "hyp.trn").read_bytes().split() + (directory / "ref.trn").read_bytes().split()))
    wanted = "sum rsum pra"
    if longest > sclite.LONGEST_GAP:  # sclite's .pra is then what lies in its memory
        wanted, ours = "sum rsum", reports["hyp.trn.sys"] + reports["hyp.trn.raw"]
    real = sclite.run_real(program, directory, case_sensitive, wanted)
    if real == ours:
        print(f"{directory}: equal to {program} ({wanted})", file=sys.stderr)
        return
    pairs = zip(real.split(b"\n"), ours.split(b"\n"), strict=False)
    number, (theirs, mine) = next(((k, two) for k, two in enumerate(pairs, 1) if two[0] != two[1]), (0, (b"", b"")))
    raise UserError(
        f"{directory}: differs from {program} at line {number} of result.txt (sclite {theirs!r}, "
        f"kdasr {mine!r}); please report this with ref.trn and hyp.trn"
    )


def _option(key: str, value: object) -> list[str]:
    return [f"--{key}"] if value is True else [f"--{key}", str(value)]


def _lines(
    ref: str | Path, hyp: str | Path, utt2spk: str | Path, rules: Rules
) -> tuple[list[str], list[list[trn.Line]]]:
    """The utterances in the order of LC_ALL=C, and both sides as trn lines, checked."""
    texts = trn.read_text(ref), trn.read_text(hyp, empty=True)
    trn.same_utterances(*texts, ref, hyp)
    order = sorted(texts[0], key=str.encode)
    ids = trn.trn_ids(order, read_table(utt2spk), utt2spk, rules.case_sensitive)
    sides = []
    for path, text in zip((ref, hyp), texts, strict=True):
        sides.append([trn.Line(ids[utterance], rules.tokens(text[utterance])) for utterance in order])
        for utterance, line in zip(order, sides[-1], strict=True):
            if why := trn.unusual(line.words):
                number = 1 + list(text).index(utterance)  # read_text has an utterance for every line
                raise UserError(
                    f"{path}:{number}: {utterance}: {why}; take it out of the text (or name it in --nlsyms)"
                )
    return order, sides


def _per_utt(name: str, one: sclite.Aligned, counts: Counts) -> str:
    """Kaldi's per-utterance details: ref, hyp, op and #csid lines, words centred in their columns."""
    columns = [_centred(*step) for step in pair(one.operations, one.ref, one.hyp)]
    rows = zip(*columns, strict=True) if columns else ((), (), ())
    labels = "ref ", "hyp ", "op  "
    text = "".join(f"{name} {label} {'  '.join(row)}\n" for label, row in zip(labels, rows, strict=True))
    return text + f"{name} #csid {counts.cor} {counts.sub} {counts.ins} {counts.del_}\n"


@lru_cache(maxsize=1 << 16)
def _centred(operation: str, ref: str, hyp: str) -> list[str]:
    """A column of Kaldi's: reference, hypothesis and operation, the odd blank to the left."""
    column = ref or "***", hyp or "***", operation
    width = max(map(len, column))
    return [(" " * ((width - len(cell) + 1) // 2) + cell).ljust(width) for cell in column]


def _result(
    everything: Counts,
    counts: Sequence[Counts],
    speakers: int,
    keys: Sequence[Sequence[Sequence[bytes]]],
    rules: Rules,
    command: str,
) -> dict[str, Any]:
    from kdasr.score.intervals import interval

    low, high = interval([one.errors for one in counts], [one.words for one in counts])
    return {
        "type": rules.type,
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
        rules.type: round(everything.wer, 4),
        "ser": round(everything.ser, 4),
        "interval95": [round(low, 4), round(high, 4)],
        "jiwer": round(levenshtein_rate(*keys), 4),
        "signature": rules.signature,
        "command": command,
    }


def levenshtein_rate(refs: Sequence[Sequence[bytes]], hyps: Sequence[Sequence[bytes]]) -> float:
    """Error rate by jiwer in percent, costs 1/1/1: the least number of errors, which sclite's may exceed."""
    import jiwer

    # jiwer strips and splits text in its own way; plain names for the words keep it from changing them.
    names: dict[bytes, str] = {}
    texts = []
    for side in (refs, hyps):
        texts.append([" ".join(names.setdefault(word, f"w{len(names)}") for word in words) for words in side])
    found = jiwer.process_words(*texts)
    words = found.hits + found.substitutions + found.deletions
    return 100.0 * (found.substitutions + found.deletions + found.insertions) / words
