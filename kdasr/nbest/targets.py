"""`kdasr targets`: N-best hypotheses -> what a student trains on.

A selection gives each utterance up to k hypotheses and their weights, which sum to one:

    topk       the k best, weight 1/k each (Mun'im et al. 2018: they replace the reference)
    posterior  the k best, weights softmax(score / temperature): the teacher's distribution over its
               beam, renormalised (Kim & Rush 2016, section 3.2; Takashima et al. 2018); those of next to no
               weight are left out, as each costs as much to train on as the best one

Utterances named in --refs train on their reference instead, with weight one. Hypotheses that cannot
be right are left out, counted, and shown: empty ones, loops, and those with more tokens than encoded
frames allow. No reference is needed: untranscribed audio is what a teacher is best used on.

Writes (Kaldi tables): hyps (all token ids of an utterance, one hypothesis after the other), hyp_lens,
weights, text (the best hypothesis), and targets.json (what was selected, dropped, and why).
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kdasr.errors import UserError
from kdasr.files import atomic_dir, only_writer, read_json, read_table, write_json, write_table
from kdasr.shards import digest

EXAMPLES = """examples:
  # the teacher's 5-best of its training audio, weighted by posterior
  kdasr targets --nbest exp/teacher/nbest_train --tokens dump/tokens/char --out exp/student/targets
  # references where there are some, hypotheses of untranscribed audio elsewhere
  kdasr targets --nbest exp/teacher/nbest_extra --refs dump/fbank/train/text --tokens dump/tokens/char \\
      --out exp/student/targets
  # Mun'im et al. 2018: five equal targets
  kdasr targets --nbest exp/teacher/nbest_train --select topk --k 5 --tokens dump/tokens/char --out exp/s/targets
"""


# ESPnet's CTC scorer gives -1e10 for probability zero; such hypotheses fill the lists of very short utterances.
IMPOSSIBLE = -1e8


class Target(NamedTuple):
    """One training target of an utterance."""

    tokens: Sequence[int]
    text: str
    weight: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr targets`."""
    add = parser.add_argument
    add("--nbest", nargs="*", default=[], metavar="DIR", help="N-best directories (kdasr nbest)")
    add(
        "--refs",
        nargs="*",
        default=[],
        metavar="TEXT",
        help="Kaldi text files whose utterances train on their reference",
    )
    add("--tokens", required=True, metavar="DIR", help="the token directory that teacher and student share")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add(
        "--select",
        choices=("topk", "posterior"),
        default="posterior",
        help="how hypotheses are weighted (default posterior)",
    )
    add("--k", type=int, default=5, help="hypotheses kept of an utterance (default 5)")
    add("--temperature", type=float, default=1.0, help="posterior: scores are divided by it (default 1)")
    add("--min_weight", type=float, default=0.02, help="posterior: leave out hypotheses of less weight (default 0.02)")
    add(
        "--max_repeat",
        type=int,
        default=4,
        help="drop a hypothesis with a word sequence repeated this often in a row (default 4)",
    )
    add("--min_frames", type=float, default=4.0, help="drop a hypothesis with fewer input frames a token (default 4)")


def run(args: argparse.Namespace) -> None:
    """Select, filter and write targets; print what was left out."""
    from kdasr.data.tokens import load_tokens
    from kdasr.nbest.archive import read_manifest, read_nbest

    if args.k < 1 or args.temperature <= 0:
        raise UserError(
            f"--k {args.k} --temperature {args.temperature}: expected k of at least 1 and a temperature above 0"
        )
    if not 0 <= args.min_weight <= 1:
        raise UserError(f"--min_weight {args.min_weight}: expected a weight from 0 to 1")
    if not args.nbest and not args.refs:
        raise UserError("nothing to make targets of; name an N-best directory (--nbest) or a text file (--refs)")
    tokens = load_tokens(args.tokens)
    own = digest(Path(args.tokens) / "tokens.txt")
    settings = {
        key: getattr(args, key) for key in ("select", "k", "temperature", "min_weight", "max_repeat", "min_frames")
    }
    settings["nbest"] = {name: read_manifest(name) for name in args.nbest}
    settings["refs"] = {name: digest(name) for name in args.refs if Path(name).is_file()}
    settings["tokens"] = own
    out = Path(args.out)
    with only_writer(out.parent, name=f".{out.name}.lock"):
        if (out / "targets.json").is_file() and read_json(out / "targets.json")["settings"] == settings:
            print(f"{out}: made already; to make it again: rm -r {out}")
            return
        chosen: dict[str, list[Target]] = {}
        for name in args.refs:
            for key, text in read_table(name).items():
                chosen[key] = [Target(tokens.encode(text), text, 1.0)]
        dropped: Counter[str] = Counter()
        examples: dict[str, str] = {}
        without: list[str] = []
        hypotheses = light = 0
        for name in args.nbest:
            made_with = settings["nbest"][name].get("tokens")
            if made_with not in (None, own):
                raise UserError(f"{name}: was decoded with another token list than {args.tokens}; name the teacher's")
            for record in read_nbest(name):
                key = record["id"]
                if key in chosen:
                    continue  # its reference was named
                hypotheses += len(record["hyps"])
                kept = []
                for hypothesis in record["hyps"]:
                    reason = fault(hypothesis, record["frames"], args.max_repeat, args.min_frames)
                    if reason:
                        dropped[reason] += 1
                        examples.setdefault(reason, f"{key}: {hypothesis['text'][:80]}")
                    else:
                        kept.append(hypothesis)
                if kept:
                    chosen[key] = weigh(kept[: args.k], args.select, args.temperature, args.min_weight)
                    light += len(kept[: args.k]) - len(chosen[key])
                else:
                    without.append(key)
        if not chosen:
            raise UserError(
                f"{' '.join(args.nbest)}: no hypothesis passed the filters; look at targets with a lower --min_frames"
            )
        summary = {
            "utterances": len(chosen),
            "hypotheses_read": hypotheses,
            "targets": sum(len(targets) for targets in chosen.values()),
            "mean_best_weight": round(
                sum(max(t.weight for t in targets) for targets in chosen.values()) / len(chosen), 4
            ),
            "dropped": dict(dropped),
            "of_low_weight": light,
            "examples": examples,
            "utterances_without_target": without,
        }
        write(out, chosen, {"settings": settings, "summary": summary})
    print(
        f"{out}: {summary['targets']} targets for {summary['utterances']} utterances, "
        f"best one's mean weight {summary['mean_best_weight']:.3f}"
        + (f"; {light} of low weight left out" if light else "")
    )
    for reason, count in sorted(dropped.items()):
        print(f"  left out {count} {reason}, as {examples[reason]}")
    if without:
        print(f"  {len(without)} utterances have no target left, as {without[0]}")


def fault(hypothesis: dict[str, Any], frames: int, max_repeat: int, min_frames: float) -> str | None:
    """Why a hypothesis should not be trained on, or None."""
    if not hypothesis["tokens"]:
        return "empty"
    if hypothesis["score"] < IMPOSSIBLE:
        return "impossible to CTC"
    if frames < min_frames * len(hypothesis["tokens"]):
        return "too long for its audio"
    if repeats(hypothesis["text"].split()) >= max_repeat:
        return "looping"
    return None


def repeats(words: Sequence[str], longest: int = 4) -> int:
    """How often a sequence of up to `longest` words stands in a row, at most: "a b a b c" has 2."""
    most = 1 if words else 0
    for size in range(1, longest + 1):
        run = 1
        for start in range(size, len(words) - size + 1):
            # run counts matches at a distance of `size`; size matches in a row are one repetition more
            run = run + 1 if words[start : start + size] == words[start - size : start] else 1
            most = max(most, 1 + (run - 1 + size - 1) // size) if run > 1 else most
    return most


def weigh(
    hypotheses: Sequence[dict[str, Any]], select: str, temperature: float, min_weight: float = 0.0
) -> list[Target]:
    """Hypotheses of an utterance, best first, with weights that sum to one.

    Args:
        hypotheses: of an N-best record, at least one.
        select: "topk" or "posterior".
        temperature: of the posterior.
        min_weight: hypotheses of less posterior are left out (never the best), and the rest renormalised.
    """
    scores = [hypothesis["score"] / temperature if select == "posterior" else 0.0 for hypothesis in hypotheses]
    if not all(map(math.isfinite, scores)):
        raise UserError(f"hypothesis {hypotheses[0]['text']!r}: its score is not a number; decode the set again")
    best = max(scores)
    mass = [math.exp(score - best) for score in scores]
    least = min(min_weight * sum(mass), 1.0) if select == "posterior" else 0.0
    kept = [(h, m) for h, m in zip(hypotheses, mass, strict=True) if m >= least]
    total = sum(m for _, m in kept)
    return [Target(h["tokens"], h["text"], m / total) for h, m in kept]


def write(out: Path, chosen: dict[str, list[Target]], record: dict[str, Any]) -> None:
    """Write the tables that training reads; the directory appears whole or not at all."""
    with atomic_dir(out) as fresh:
        write_table(
            fresh / "hyps",
            {key: " ".join(str(i) for t in targets for i in t.tokens) for key, targets in chosen.items()},
        )
        write_table(
            fresh / "hyp_lens", {key: " ".join(str(len(t.tokens)) for t in targets) for key, targets in chosen.items()}
        )
        write_table(
            fresh / "weights", {key: " ".join(f"{t.weight:.6g}" for t in targets) for key, targets in chosen.items()}
        )
        write_table(fresh / "text", {key: max(targets, key=lambda t: t.weight).text for key, targets in chosen.items()})
        write_json(fresh / "targets.json", record)
