"""`kdasr targets`: N-best hypotheses -> what a student trains on.

Hypotheses that cannot be right are left out, counted and shown (kdasr.nbest.filters); of the others a selection
takes some and gives them weights that sum to one (kdasr.nbest.select). Utterances named in --refs train on their
reference instead, with weight one. Texts named in --against are what hypotheses are measured against: by the
selections wer, best and mix, by the filters on errors and length, and for the report. topk and posterior need
neither: untranscribed audio is what a teacher is best used on.

Writes (Kaldi tables): hyps (all token ids of an utterance, one hypothesis after the other), hyp_lens, weights, text
(the best hypothesis), and targets.json (what was selected, dropped, and why). With --soft J also soft.ark and
soft.scp: a matrix (R, 2J) an utterance, with a row for each token and one for <eos> of each hypothesis in order;
J token ids, most probable first, and the natural logarithms of the teacher's probabilities.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdasr.errors import UserError
from kdasr.files import columns, only_writer, read_json, read_table
from kdasr.nbest.filters import Limits, fault
from kdasr.nbest.select import (
    LIGHTENED,
    MEASURED,
    SELECTIONS,
    SIMILARITIES,
    Reference,
    Selection,
    Target,
    characters_of,
    choose,
    count_errors,
    words_of,
)
from kdasr.nbest.target_files import soft_of_archives, write_targets
from kdasr.nbest.target_report import Tally, lines
from kdasr.shards import digest

if TYPE_CHECKING:
    from kdasr.data.tokens import Tokens

EXAMPLES = """examples:
  # the teacher's 5-best of its training audio, weighted by posterior
  kdasr targets --nbest exp/teacher/nbest_train --tokens dump/tokens/char --out exp/student/targets
  # references where there are some, hypotheses of untranscribed audio elsewhere
  kdasr targets --nbest exp/teacher/nbest_extra --refs dump/fbank/train/text --tokens dump/tokens/char \\
      --out exp/student/targets
  # Mun'im et al. 2018: five equal targets; and how wrong they are
  kdasr targets --nbest exp/teacher/nbest_train --select topk --k 5 --against dump/fbank/train/text \\
      --tokens dump/tokens/char --out exp/s/targets
  # Kim & Rush 2016, interpolation: of 35 hypotheses the one nearest the reference
  kdasr targets --nbest exp/teacher/nbest_train --select best --k 35 --similarity bleu \\
      --against dump/fbank/train/text --tokens dump/tokens/char --out exp/s/targets
  # cross-fitting: each part of the training audio as a teacher hears it that was trained on the others
  kdasr targets --nbest exp/teacher1/nbest_fold1 exp/teacher2/nbest_fold2 --tokens dump/tokens/char --out exp/s/targets
  # only what the teacher gets nearly right, and its soft targets (kdasr nbest --soft_targets 10)
  kdasr targets --nbest exp/teacher/nbest_train --max_wer 10 --against dump/fbank/train/text --soft 10 \\
      --tokens dump/tokens/char --out exp/s/targets
"""

CHUNK = 1000  # records whose errors are counted together


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr targets`."""
    add = parser.add_argument
    how, limits = Selection(), Limits()
    add("--nbest", nargs="*", default=[], metavar="DIR", help="N-best directories (kdasr nbest)")
    add("--refs", nargs="*", default=[], metavar="TEXT", help="Kaldi texts whose utterances train on their reference")
    add("--against", nargs="*", default=[], metavar="TEXT", help="Kaldi texts to measure hypotheses against")
    add("--tokens", required=True, metavar="DIR", help="the token directory that teacher and student share")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add(
        "--select",
        choices=SELECTIONS,
        default=how.select,
        help="targets: topk, the k best with equal weights; posterior, weighted as the teacher does (default); wer, "
        "weighted by exp(-beta WER); best, the one nearest the reference; mix, the reference and the k best",
    )
    add("--k", type=int, default=how.k, help="hypotheses taken of an utterance (default 5)")
    add("--temperature", type=float, default=how.temperature, help="posterior, mix: divides the scores (default 1)")
    add(
        "--min_weight",
        type=float,
        default=how.min_weight,
        help="posterior, wer, mix: leave out hypotheses of less weight (default 0.02)",
    )
    add("--beta", type=float, default=how.beta, help="wer: how fast weights fall with WER as a fraction (default 10)")
    add(
        "--similarity",
        choices=SIMILARITIES,
        default=how.similarity,
        help="best: fewest word errors (default), or highest smoothed sentence BLEU",
    )
    add("--ref_weight", type=float, default=how.ref_weight, help="mix: weight of the reference (default 0.5)")
    add(
        "--unreferenced",
        choices=("refuse", "posterior", "drop"),
        default="refuse",
        help="utterances without the reference that wer, best, mix, --max_wer or --length_ratio need: refuse them "
        "(default), weight them by posterior (with topk: equally) without these filters, or drop them",
    )
    add(
        "--max_repeat",
        type=int,
        default=limits.max_repeat,
        help="drop a hypothesis with a word sequence repeated this often in a row (default 4)",
    )
    add("--min_frames", type=float, default=limits.min_frames, help="drop those of fewer input frames a token (4)")
    add("--max_frames", type=float, default=limits.max_frames, help="drop those of more input frames a token (off)")
    add("--max_wer", type=float, default=limits.max_wer, metavar="PERCENT", help="drop those of a larger WER (off)")
    add(
        "--length_ratio",
        type=float,
        default=limits.length_ratio,
        metavar="R",
        help="drop those over R times longer or shorter than the reference, in tokens (off)",
    )
    add("--soft", type=int, default=0, metavar="J", help="take along the archives' J best soft targets a token (off)")


def run(args: argparse.Namespace) -> None:
    """Select, filter and write targets; print what was left out."""
    from kdasr.data.tokens import load_tokens

    how, limits = options(args)
    tokens = load_tokens(args.tokens)
    settings = describe(args, how, limits)
    out = Path(args.out)
    if out.exists() and not (out / "targets.json").is_file() and (not out.is_dir() or any(out.glob("[!.]*"))):
        raise UserError(f"{out}: holds other things than targets, which would be lost; name another directory")
    with only_writer(out.parent, name=f".{out.name}.lock"):
        if (out / "targets.json").is_file() and read_json(out / "targets.json").get("settings") == settings:
            print(f"{out}: made already; to make it again: rm -r {out}")
            return
        chosen = {
            key: [Target(tokens.encode(text), text, 1.0)] for key, text in read_texts(args.refs, "--refs").items()
        }
        tally = Tally(chosen)
        gather(args, how, limits, tokens, tally)
        if not chosen:
            left_out = ", ".join(f"{reason}, as {example}" for reason, example in tally.examples.items())
            raise UserError(
                f"{' '.join(args.nbest)}: no hypothesis is left to train on "
                f"({left_out or f'none has a reference, as {tally.unreferenced[0]}'}); loosen the filters"
            )
        summary = tally.summary(how, bool(args.against))
        soft = soft_of_archives(args.nbest, chosen, args.soft) if args.soft else None
        write_targets(out, chosen, {"settings": settings, "summary": summary}, soft)
    print("\n".join(lines(out, summary, how, args.unreferenced)))


def options(args: argparse.Namespace) -> tuple[Selection, Limits]:
    """The options as what select and filters take.

    Raises:
        UserError: a value out of range, or options that do not go together.
    """
    how = Selection(*(getattr(args, name) for name in Selection._fields))
    limits = Limits(*(getattr(args, name) for name in Limits._fields[:-1]), soft=args.soft > 0)
    large = float("inf")
    for name, value, least, most in (
        ("k", args.k, 1, large),
        ("min_weight", args.min_weight, 0, 1),
        ("ref_weight", args.ref_weight, 0, 1),
        ("max_repeat", args.max_repeat, 2, large),
        ("min_frames", args.min_frames, 0, large),
        ("max_wer", args.max_wer or 0, 0, large),
        ("soft", args.soft, 0, large),
    ):
        if not least <= value <= most:
            raise UserError(f"--{name} {value}: expected {least} {'or more' if most == large else f'to {most}'}")
    if not 0 < args.temperature < large:
        raise UserError(f"--temperature {args.temperature}: expected a number above 0")
    if not 0 <= args.beta < large:
        raise UserError(f"--beta {args.beta}: expected a number of 0 or more")
    if args.max_frames and not args.max_frames > args.min_frames:
        raise UserError(
            f"--max_frames {args.max_frames}: expected more than --min_frames {args.min_frames}, or 0 for off"
        )
    if args.length_ratio and not args.length_ratio >= 1:
        raise UserError(f"--length_ratio {args.length_ratio}: expected 1 or more, or 0 for off")
    if not args.nbest and not args.refs:
        raise UserError("nothing to make targets of; name an N-best directory (--nbest) or a text file (--refs)")
    if args.nbest and needs_reference(args) and not args.against:
        raise UserError(f"{needs_reference(args)}: needs references to measure against; name their texts (--against)")
    if args.soft and (args.refs or args.select == "mix"):
        raise UserError(
            f"--soft {args.soft}: an archive has no soft targets of the references that "
            f"{'--refs' if args.refs else '--select mix'} trains on; make targets without it, and have the teacher "
            "compute theirs (kdasr soft)"
        )
    return how, limits


def needs_reference(args: argparse.Namespace) -> str:
    """The option that needs references, or nothing."""
    if args.select in MEASURED:
        return f"--select {args.select}"
    return "--max_wer" if args.max_wer is not None else "--length_ratio" if args.length_ratio else ""


def describe(args: argparse.Namespace, how: Selection, limits: Limits) -> dict[str, Any]:
    """What targets depend on, checked as far as manifests tell.

    Raises:
        UserError: an archive of another token list, or without the soft targets that are asked for.
    """
    from kdasr.nbest.archive import read_manifest

    own = digest(Path(args.tokens) / "tokens.txt")
    settings: dict[str, Any] = {**how._asdict(), **limits._asdict(), "soft": args.soft}
    settings["unreferenced"] = args.unreferenced
    settings["nbest"] = {name: read_manifest(name) for name in args.nbest}
    for name, manifest in settings["nbest"].items():
        if manifest.get("tokens") not in (None, own):
            raise UserError(f"{name}: was decoded with another token list than {args.tokens}; name the teacher's")
        width = manifest["search"].get("soft_targets", 0)
        if width < args.soft:
            raise UserError(
                f"{name}: has {width or 'no'} soft targets a token, not the {args.soft} of --soft; "
                f"make another archive (kdasr nbest --soft_targets {args.soft})"
            )
    for option in ("refs", "against"):
        settings[option] = {name: digest(name) for name in getattr(args, option) if Path(name).is_file()}
    settings["tokens"] = own
    return settings


def read_texts(names: Sequence[str], option: str) -> dict[str, str]:
    """The utterances of several texts; UserError where two of them differ on one."""
    texts: dict[str, str] = {}
    for name in names:
        for key, text in read_table(name).items():
            if texts.setdefault(key, text) != text:
                raise UserError(
                    f"{name}: {key} has another text in another file of {option}; leave one of the files out"
                )
    return texts


def gather(args: argparse.Namespace, how: Selection, limits: Limits, tokens: Tokens, tally: Tally) -> None:
    """Read the archives and choose each utterance's targets.

    Raises:
        UserError: an utterance lacks the reference that it needs, or stands in two archives.
    """
    from kdasr.nbest.archive import read_nbest

    references = {
        key: Reference(text, tokens.encode(text), len(columns(text)))
        for key, text in read_texts(args.against, "--against").items()
    }
    needed = needs_reference(args)
    blind = how if how.select == "topk" else how._replace(select="posterior")  # where there is no reference
    refs, seen = set(tally.chosen), set()
    for name in args.nbest:
        for record in with_errors(read_nbest(name), references, how.select == "best"):
            key, hyps, reference = record["id"], record["hyps"], references.get(record["id"])
            if key in refs:
                continue
            if key in seen:
                raise UserError(f"{name}: {key} stands in another of the archives too; name one archive of it")
            seen.add(key)
            if needed and reference is None:
                if args.unreferenced == "refuse":
                    raise UserError(
                        f"{name}: {key} has no reference in {' '.join(args.against)}, which {needed} needs; "
                        "add it, or say what becomes of such utterances (--unreferenced posterior or drop)"
                    )
                tally.unreferenced.append(key)
                if args.unreferenced == "drop":
                    continue
            own = how if reference is not None else blind
            tally.hypotheses += len(hyps)
            kept = []
            for hyp in hyps:
                reason = fault(hyp, record["frames"], limits, reference)
                if reason:
                    tally.leave_out(reason, key, hyp["text"])
                else:
                    kept.append(hyp)
            targets = choose(kept, own, reference) if kept or own.select == "mix" else []
            if targets:
                tally.chosen[key] = targets
            if not kept:
                (tally.alone if targets else tally.without).append(key)
            if own.select in LIGHTENED:
                tally.light += len(kept[: own.k]) - sum(target.place >= 0 for target in targets)
            if reference is not None:
                tally.add_errors(hyps, targets, reference, how.k)


def with_errors(
    records: Iterator[dict[str, Any]], references: Mapping[str, Reference], characters: bool
) -> Iterator[dict[str, Any]]:
    """Records whose hypotheses have their "place" and, where there is a reference, "errors" (and "characters")."""
    kinds = {"errors": words_of, "characters": characters_of} if characters else {"errors": words_of}
    while chunk := list(islice(records, CHUNK)):
        owned = [record for record in chunk if record["id"] in references]
        pairs = [(references[record["id"]].text, [hyp["text"] for hyp in record["hyps"]]) for record in owned]
        for kind, units in kinds.items():
            for record, counts in zip(owned, count_errors(pairs, units), strict=True):
                for hyp, errors in zip(record["hyps"], counts, strict=True):
                    hyp[kind] = errors
        for record in chunk:
            for place, hyp in enumerate(record["hyps"]):
                hyp["place"] = place
        yield from chunk
