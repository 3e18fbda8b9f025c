"""N-best hypotheses -> what a student trains on.

Hypotheses that cannot be right are left out, counted and shown (kdasr.targets.filters); of the others a selection
takes some and gives them weights that sum to one (kdasr.targets.select). Utterances named in --refs train on their
reference instead, with weight one. Texts named in --against are what hypotheses are measured against: by the
selections wer, best and mix, by the filters on errors and length, and for the report. topk and posterior need
neither, so that they work on untranscribed audio, where a teacher helps most. Archives named in --agree are another
system's hypotheses: an utterance of which the two systems' best differ too much is left out. Texts named in --truth
decide about nothing: what was kept and left out is measured against them (kdasr.targets.truth).

Writes (Kaldi tables): hyps (all token ids of an utterance, one hypothesis after the other), hyp_lens, weights, text
(the best hypothesis), and targets.json (what was selected, dropped, and why). `kdasr soft` adds the teacher's
distributions at their tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from kdasr.data.tokens import Tokens, load_tokens
from kdasr.errors import UserError
from kdasr.files import atomic_dir, columns, only_writer, read_json
from kdasr.keyed import as_hashes, first_twice, hash_of
from kdasr.nbest.archive import read_manifest, read_nbest
from kdasr.score.count import characters_of, count_errors, words_of
from kdasr.shards import digest
from kdasr.targets import truth
from kdasr.targets.files import Tables
from kdasr.targets.filters import Limits, check_agree, check_values, disagreement, fault
from kdasr.targets.report import Tally, lines
from kdasr.targets.select import LIGHTENED, MEASURED, Reference, Selection, Target, choose
from kdasr.targets.texts import Texts

CHUNK = 1000  # records whose errors are counted together


@dataclass(frozen=True)
class Sources:
    """What targets are made of, and how."""

    tokens: str  # token directory
    out: str  # directory to write
    nbest: tuple[str, ...] = ()  # N-best directories
    refs: tuple[str, ...] = ()  # Kaldi texts whose utterances train on their reference
    against: tuple[str, ...] = ()  # Kaldi texts that hypotheses are measured against
    truth: tuple[str, ...] = ()  # Kaldi texts that the selection is measured against, and that it does not look at
    agree: tuple[str, ...] = ()  # another system's N-best directories, for limits.max_disagreement
    how: Selection = field(default_factory=Selection)
    limits: Limits = field(default_factory=Limits)
    unreferenced: str = "refuse"  # utterances without the reference that they need: refuse, posterior, drop


def run(given: Sources) -> None:
    """Select, filter and write targets; print what was left out."""
    check(given)
    how = given.how
    tokens = load_tokens(given.tokens)
    settings = describe(given)
    out = Path(given.out)
    if out.exists() and not (out / "targets.json").is_file() and (not out.is_dir() or any(out.glob("[!.]*"))):
        raise UserError(f"{out}: holds other things than targets, which would be lost; name another directory")
    with only_writer(out.parent, name=f".{out.name}.lock"):
        if (out / "targets.json").is_file() and read_json(out / "targets.json").get("settings") == settings:
            print(f"{out}: made already; to make it again: rm -r {out}")
            return
        tally = Tally()
        with atomic_dir(out) as fresh, Tables(fresh) as tables:
            gather(given, tokens, tally, tables)
            summary = tally.summary(how, bool(given.against))
            if given.truth:
                with Texts(given.truth, "--truth") as said:
                    summary["truth"] = truth.measure(tally.heard, said.of([one.key for one in tally.heard]))
            tables.finish({"settings": settings, "summary": summary})
    print("\n".join(lines(out, summary, how, given.unreferenced)))


def check(given: Sources) -> None:
    """UserError for a value out of range, or options that do not go together."""
    check_values(given.how, given.limits, any(map(reads_text, given.nbest)))
    check_agree(bool(given.agree), given.limits)
    if not given.nbest and not given.refs:
        raise UserError("nothing to make targets of; name an N-best directory (--nbest) or a text file (--refs)")
    if given.nbest and needs_reference(given) and not given.against:
        raise UserError(f"{needs_reference(given)}: needs references to measure against; name their texts (--against)")


def reads_text(archive: str) -> bool:
    """Whether an archive is of a model that translates."""
    return "source" in read_manifest(archive)


def needs_reference(given: Sources) -> str:
    """The option that needs references, or nothing."""
    if given.how.select in MEASURED:
        return f"--select {given.how.select}"
    return "--max_wer" if given.limits.max_wer is not None else "--length_ratio" if given.limits.length_ratio else ""


def describe(given: Sources) -> dict[str, Any]:
    """What targets depend on, checked as far as manifests tell.

    Raises:
        UserError: an archive of another token list.
    """
    own = digest(Path(given.tokens) / "tokens.txt")
    settings: dict[str, Any] = {**given.how._asdict(), **given.limits._asdict()}
    settings["min_frames"] = given.limits.least(any(map(reads_text, given.nbest)))
    settings["unreferenced"] = given.unreferenced
    settings["nbest"] = {name: read_manifest(name) for name in given.nbest}
    for name, manifest in settings["nbest"].items():
        if manifest.get("tokens") not in (None, own):
            raise UserError(f"{name}: was decoded with another token list than {given.tokens}; name the teacher's")
        check_scores(given, name, manifest)
    if given.agree:
        settings["agree"] = {name: read_manifest(name) for name in given.agree}
    for option in ("refs", "against", *(["truth"] if given.truth else [])):
        settings[option] = {name: digest(name) for name in getattr(given, option) if Path(name).is_file()}
    settings["tokens"] = own
    return settings


def check_scores(given: Sources, name: str, manifest: Mapping[str, Any]) -> None:
    """UserError if something needs scores, and an archive was imported without any."""
    weighed = given.how.select in ("posterior", "mix") and given.how.k > 1 and manifest["search"]["nbest"] > 1
    needs = "--min_token_score" if given.limits.min_token_score is not None else ""
    needs = f"--select {given.how.select}" if weighed else needs
    if manifest.get("scores") == "none" and needs:
        raise UserError(f"{name}: has no scores, which {needs} needs; leave it out, choose another, or import scores")


def check_branches(name: str, record: Mapping[str, Any]) -> None:
    """UserError if a hypothesis of a record of the archive `name` lacks the scores that --max_ctc_gap compares."""
    if any(hyp["tokens"] and not {"decoder", "ctc"} <= hyp["scores"].keys() for hyp in record["hyps"]):
        raise UserError(
            f"{name}: {record['id']} has no scores of attention and CTC, which --max_ctc_gap needs; leave it out, or "
            "decode with both (kdasr nbest --ctc_weight)"
        )


def gather(given: Sources, tokens: Tokens, tally: Tally, tables: Tables) -> None:
    """Read texts and archives, and write each utterance's targets.

    Raises:
        UserError: an utterance lacks the reference that it needs, or is in two archives; or nothing is left.
    """
    with Texts(given.refs, "--refs") as refs, Texts(given.against, "--against") as against:
        for key, text in refs.items():
            target = Target(tokens.encode(text), text, 1.0)
            tally.choose([target])
            tables.add(key, [target])
        others, seen = read_bests(given.agree), bytearray()
        for name in given.nbest:
            seen += from_archive(name, given, tokens, tally, tables, refs, against, others)
    if first_twice(as_hashes(seen)):
        refuse_twice(given)
    if not tally.utterances:
        left_out = ", ".join(f"{reason}, as {example}" for reason, example in tally.examples.items())
        raise UserError(
            f"{' '.join(given.nbest)}: no hypothesis is left to train on "
            f"({left_out or f'none has a reference, as {tally.unreferenced[0]}'}); loosen the filters"
        )


def from_archive(
    name: str,
    given: Sources,
    tokens: Tokens,
    tally: Tally,
    tables: Tables,
    refs: Texts,
    against: Texts,
    others: Mapping[str, str],
) -> bytes:
    """Choose the targets of an archive's utterances that `refs` has not; returns the hashes of their names."""
    how, seen = given.how, bytearray()
    needed = needs_reference(given)
    blind = how if how.select == "topk" else how._replace(select="posterior")  # where there is no reference
    scores, translated = read_manifest(name).get("scores", "sum"), reads_text(name)
    for record, reference in measured_records(name, tokens, refs, against, others, how.select == "best"):
        key, hyps = record["id"], record["hyps"]
        seen += hash_of(key)
        if needed and reference is None:
            if given.unreferenced == "refuse":
                raise UserError(
                    f"{name}: {key} has no reference in {' '.join(given.against)}, which {needed} needs; "
                    "add it, or choose what to do with such utterances (--unreferenced posterior or drop)"
                )
            tally.unreferenced.append(key)
            if given.unreferenced == "drop":
                continue
        own = how if reference is not None else blind
        tally.hypotheses += len(hyps)
        if given.limits.max_ctc_gap is not None:
            check_branches(name, record)
        kept, other, reasons = [], others.get(key), []
        apart = disagreement(record["disagreement"], len(columns(other or "")), given.limits)
        for hyp in hyps:
            reason = fault(hyp, record["frames"], given.limits, reference, scores, translated)
            if reason or apart:
                reasons.append(reason or apart or "")
                tally.leave_out(reasons[-1], key, hyp["text"], "" if reason else other)
            else:
                kept.append(hyp)
        targets = choose(kept, own, reference) if kept or own.select == "mix" else []
        if targets:
            tally.choose(targets)
            tables.add(key, targets)
        if given.truth:
            tally.heard.append(truth.heard(key, hyps[0]["text"], targets, (reasons or ["without a hypothesis"])[0]))
        if not kept:
            (tally.alone if targets else tally.without).append(key)
        if own.select in LIGHTENED:
            tally.light += len(kept[: own.k]) - sum(target.place >= 0 for target in targets)
        if reference is not None:
            tally.add_errors(hyps, targets, reference, how.k)
    return bytes(seen)


def measured_records(
    name: str, tokens: Tokens, refs: Texts, against: Texts, others: Mapping[str, str], characters: bool
) -> Iterator[tuple[dict[str, Any], Reference | None]]:
    """The records of an archive whose utterances `refs` has not, measured, each with its reference if there is one."""
    records = with_disagreement(read_nbest(name), others)
    while chunk := list(islice(records, CHUNK)):
        keys = [record["id"] for record in chunk]
        texts, left_out = against.of(keys), refs.of(keys)
        references = {key: Reference(text, tokens.encode(text), len(columns(text))) for key, text in texts.items()}
        for record in with_errors(iter(chunk), references, characters):
            if record["id"] not in left_out:
                yield record, references.get(record["id"])


def refuse_twice(given: Sources) -> None:
    """UserError that names the first utterance of the archives that is there a second time."""
    with Texts(given.refs, "--refs") as refs:
        seen: set[str] = set()
        for name in given.nbest:
            for record in read_nbest(name):
                if record["id"] in seen and not refs.of([record["id"]]):
                    raise UserError(f"{name}: {record['id']} is in another of the archives, too; leave out one of them")
                seen.add(record["id"])


def read_bests(names: Sequence[str]) -> dict[str, str]:
    """The best hypothesis of each utterance of some archives; UserError where two of them have the same utterance."""
    texts: dict[str, str] = {}
    for name in names:
        for record in read_nbest(name):
            if record["id"] in texts:
                raise UserError(f"{name}: {record['id']} is in another archive of --agree, too; leave out one of them")
            texts[record["id"]] = record["hyps"][0]["text"]
    return texts


def with_disagreement(records: Iterator[dict[str, Any]], others: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Records with "disagreement": word errors of their best against the other system's; None where it has none."""
    while chunk := list(islice(records, CHUNK)):
        owned = [record for record in chunk if record["id"] in others]
        counts = count_errors([(others[record["id"]], [record["hyps"][0]["text"]]) for record in owned])
        found = {record["id"]: errors[0] for record, errors in zip(owned, counts, strict=True)}
        for record in chunk:
            record["disagreement"] = found.get(record["id"])
        yield from chunk


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
