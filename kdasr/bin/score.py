"""`kdasr score`: word and character error rates of a decoded set as sclite counts them; BLEU of translations."""

from __future__ import annotations

import argparse
import shlex

from kdasr.errors import UserError
from kdasr.score.rules import Rules, read_repairs, read_symbols

EXAMPLES = """examples:
  # word error rate of one decoded set
  kdasr score --ref dump/fbank/test/text --hyp exp/s/decode_beam/test/text --utt2spk dump/fbank/test/utt2spk \\
      --dir exp/s/decode_beam/test/score_wer
  # what `sclite -r ref.trn trn -h hyp.trn trn -i rm` would write; characters, as sclite -c; segments in time
  kdasr score --ref ref.trn --hyp hyp.trn --dir out
  kdasr score --ref ref.trn --hyp hyp.trn --dir out --id_form wsj --chars
  kdasr score --ref ref.stm --hyp hyp.ctm --dir out
  # ESPnet's character error rate, noise symbols left out of both sides
  kdasr score --ref ... --hyp ... --utt2spk ... --dir .../score_cer --type cer --nlsyms dump/tokens/char/nlsyms.txt
  # WSJ as Kaldi scores it, compared with the real sclite (found by $SCLITE, PATH, or where Debian's sctk puts it)
  kdasr score --ref ... --hyp ... --utt2spk ... --dir .../score_wer --wsj_filter --check
  # is a student worse than its teacher? bootstrap and matched-pairs test
  kdasr score --ref ... --hyp ... --utt2spk ... --dir exp/s/.../score_wer --against exp/teacher/.../score_wer
  # translations: BLEU, chrF and TER by sacrebleu, compared by its paired bootstrap
  kdasr score --type bleu --ref data/test/text --hyp exp/s/decode_beam/test/text --src data/test/text.src \\
      --dir exp/s/decode_beam/test/score_bleu --against exp/teacher/decode_beam/test/score_bleu
"""
NOT_FOR_BLEU = (
    *("utt2spk", "chars", "id_form", "nlsyms", "wsj_filter", "repairs"),
    *("case_sensitive", "optional", "fragments", "check"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr score`."""
    add = parser.add_argument
    add("--ref", required=True, help="references: a trn file (.trn), an stm file (.stm), or else a Kaldi text")
    add("--hyp", required=True, help="hypotheses of the same utterances: .trn, .ctm, or a Kaldi text")
    add("--utt2spk", help="speakers of a Kaldi text's utterances (it may hold more; not needed by --id_form wsj)")
    add("--dir", required=True, help="directory for the results, made if need be")
    kinds = "words, ESPnet's characters, or translations by sacrebleu (default wer)"
    add("--type", choices=("wer", "cer", "bleu"), default="wer", help=kinds)
    add("--src", help="source sentences, a Kaldi text, to show beside translations (--type bleu)")
    add("--chars", action="store_true", help="characters as sclite -c counts them, blanks are none")
    forms = "wsj: the first three characters name the speaker; rm, spu_id: what is before the hyphen (default rm)"
    add("--id_form", choices=("rm", "wsj", "spu_id"), default="rm", help=forms)
    add("--nlsyms", help="file of symbols, one a line, removed from both sides (default: none)")
    add("--wsj_filter", action="store_true", help="remove <NOISE> <SPOKEN_NOISE> <UNK> : * as Kaldi")
    add("--repairs", help="file of 'WRONG RIGHT' lines: words rewritten in the hypothesis, as Kaldi's WSJ recipe does")
    add("--case_sensitive", action="store_true", help="A is not a (default: it is, as for sclite, which "
        "lowers ASCII letters alone: É and é are two words)")  # fmt: skip
    add("--optional", action="store_true", help="a reference word (uh) may be left out, as for sclite -D")
    add("--fragments", action="store_true", help="wor- matches a word that begins so, as for sclite -F")
    add("--check", action="store_true", help="run the real sclite too and fail on any difference")
    add("--against", action="append", default=[], metavar="DIR", help="another system's --dir to compare with")


def run(args: argparse.Namespace) -> None:
    """Score, and print the rates with the interval and the signature."""
    from kdasr.score.one_set import score_set, score_translations

    command = ["kdasr", "score"]
    left_out = ("against", "id_form") if args.type == "bleu" else ("against",)
    for key, value in vars(args).items():
        if key not in left_out and value not in (None, False, []):
            command += [f"--{key}"] if value is True else [f"--{key}", str(value)]
    if args.type == "bleu":
        if unfit := [f"--{name}" for name in NOT_FOR_BLEU if getattr(args, name) not in (None, False, "rm")]:
            raise UserError(f"{', '.join(unfit)}: not for --type bleu, which takes texts as they are; leave it out")
        score_translations(args.ref, args.hyp, args.src, args.dir, shlex.join(command), args.against)
        return
    if args.src:
        raise UserError(f"--src {args.src}: is for translations; add --type bleu or leave it out")
    if args.chars and args.type == "cer":
        raise UserError("--chars, --type cer: are two ways to count characters (sclite's and ESPnet's); give one")
    nlsyms = read_symbols(args.nlsyms) if args.nlsyms else frozenset()
    flags = {name: getattr(args, name) for name in ("wsj_filter", "case_sensitive", "optional", "fragments")}
    repairs = read_repairs(args.repairs) if args.repairs else {}
    rules = Rules(args.type, args.chars, nlsyms, repairs=repairs, id_form=args.id_form, **flags)
    score_set(args.ref, args.hyp, args.utt2spk, args.dir, rules, args.check, shlex.join(command), args.against)
