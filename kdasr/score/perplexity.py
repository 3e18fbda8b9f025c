"""`kdasr ppl`: how well a model's attention decoder predicts references it is led along (teacher forcing).

    PPL = exp(- sum over utterances and tokens of ln p(token | tokens before it, audio) / number of tokens)

The end of an utterance, <eos>, counts as a token of it; the CTC branch has no part. A student of hypotheses may well
have a higher one than its control and yet be the better recogniser: it has learned the teacher's mode (Kim and
Rush 2016, Table 1).

| axis | meaning |
|---|---|
| B | utterances in a batch |
| S | encoded frames, padded |
| E | encoder output |
| L | tokens of a reference and <eos>, padded |
| V | tokens |
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdasr.errors import UserError
from kdasr.files import read_json, read_table, write_json
from kdasr.shards import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kdasr.data.tokens import Tokens

EXAMPLES = """examples:
  # where `kdasr report` looks for it
  kdasr ppl --model exp/student --data dump/fbank/test --out exp/student/ppl/test.json
  # on a GPU
  kdasr ppl --model exp/teacher --data dump/fbank/test --out exp/teacher/ppl/test.json --ngpu 1
"""
PADDING = -1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr ppl`."""
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="directory of a trained ESPnet2 model")
    add("--model_file", metavar="NAME", help="checkpoint in it (default valid.acc.ave.pth)")
    add("--data", required=True, metavar="DIR", help="data directory with feats.scp (or wav.scp) and text")
    add("--out", required=True, metavar="FILE", help="JSON file to write, as exp/NAME/ppl/SET.json")
    add("--batch_frames", type=int, default=40000, help="padded input frames (10 ms) in a batch (default 40000)")
    add("--ngpu", type=int, default=0, help="0: CPU; 1: a GPU (default 0)")


def run(args: argparse.Namespace) -> None:
    """Compute what is not there yet, and write it."""
    from kdasr.models import find_models, read_config

    if args.batch_frames < 1 or args.ngpu < 0:
        raise UserError("--batch_frames: expected 1 or more, and --ngpu 0 or more")
    if not (Path(args.data) / "text").is_file():
        raise UserError(f"{args.data}: has no text; perplexity is that of references, name a transcribed set")
    models = find_models([args.model], args.model_file)
    if (read_config(args.model).get("model_conf") or {}).get("ctc_weight") == 1.0:
        raise UserError(f"{args.model}: was trained with CTC alone; name a model with an attention decoder")
    model, config, listed = models.first.hashes
    text = digest(Path(args.data) / "text")
    settings = {"model": model, "config": config, "token_list": listed, "text": text}
    out = Path(args.out)
    there = read_json(out) if out.is_file() else {}
    if there and all(there.get(key) == value for key, value in settings.items()):
        print(f"{out}: computed already, perplexity {there['ppl']:.4f}; to compute again: rm {out}")
        return
    result = {**measure(args, models), **settings}
    write_json(out, result)
    left = f"; {result['too_short']} utterances are too short to be encoded" if result["too_short"] else ""
    print(f"{out}: perplexity {result['ppl']:.4f} over {result['tokens']:,} tokens{left}")


def measure(args: argparse.Namespace, models: Any) -> dict[str, Any]:
    """Perplexity, and the counts it is of."""
    from kdasr.data.tokens import load_tokens, of_model
    from kdasr.search.engine import Engine, buckets, read_rows
    from kdasr.search.options import SearchOptions

    rows = read_rows(args.data, models.first)
    text = read_table(Path(args.data) / "text", empty=True)
    without = next((row.name for row in rows if row.name not in text), None)
    if without is not None:
        raise UserError(f"{args.data}/text: {without} is missing; mend the directory (utils/fix_data_dir.py)")
    own = Path(args.model) / "tokens"
    tokens: Tokens = load_tokens(own) if own.is_dir() else of_model(Path(args.model))
    engine = Engine(models, SearchOptions(beam=1, nbest=1, ctc_weight=0.0), args.batch_frames, device(args.ngpu))
    if getattr(engine.model.decoder, "sampling_probability", 0.0):
        engine.model.decoder.sampling_probability = 0.0  # ESPnet's RNN decoder would feed its own tokens even here
    names = [row.name for row in rows]
    inputs = [engine.read(row) for row in rows]
    lengths = [engine.frames(x) for x in inputs]
    nll, counted, unknown, encoded_rows = 0.0, 0, 0, 0
    for bucket in buckets(lengths):
        slots = max(1, args.batch_frames // max(1, lengths[bucket[0]]))
        for first in range(0, len(bucket), slots):
            chunk = bucket[first : first + slots]
            encoded = list(engine.encoded({number: inputs[number] for number in chunk}, slots, names))
            if not encoded:
                continue
            references = [tokens.encode(text[names[one.number]]) for one in encoded]
            nll += float(costs(engine.model, [one.hs[0] for one in encoded], references).double().sum())
            counted += sum(len(reference) + 1 for reference in references)
            unknown += sum(reference.count(tokens.ids["<unk>"]) for reference in references)
            encoded_rows += len(encoded)
    if not counted:
        raise UserError(f"{args.data}: every utterance is too short to be encoded; name another set")
    if not math.isfinite(nll):
        raise UserError(f"{models.first.checkpoint}: gives references no probability that is a number; train again")
    return {
        "ppl": math.exp(min(nll / counted, 700.0)),
        "tokens": counted,
        "nll": nll,
        "unknown": unknown,
        "utterances": encoded_rows,
        "too_short": len(rows) - encoded_rows,
    }


def device(ngpu: int) -> str:
    """What torch calls the device."""
    return "cuda:0" if ngpu else "cpu"


def costs(model: Any, encoded: Sequence[Tensor], references: Sequence[Sequence[int]]) -> Tensor:
    """Negative log probabilities (B,) that a model's decoder gives to references, <eos> included.

    Args:
        model: an ESPnet ASR model in evaluation mode.
        encoded: encoder outputs (S, E), at least one frame each.
        references: token ids, without <sos> and <eos>.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    with torch.no_grad():
        hs = pad_sequence(list(encoded), batch_first=True)  # (B, S, E)
        hlens = torch.tensor([len(one) for one in encoded], device=hs.device)  # (B,)
        ys = [torch.tensor([model.sos, *reference, model.eos], device=hs.device) for reference in references]
        ys_in = pad_sequence([one[:-1] for one in ys], batch_first=True, padding_value=model.eos)  # (B, L)
        ys_out = pad_sequence([one[1:] for one in ys], batch_first=True, padding_value=PADDING)  # (B, L)
        lens = torch.tensor([len(one) - 1 for one in ys], device=hs.device)  # (B,)
        logits, _ = model.decoder(hs, hlens, ys_in, lens)  # (B, L, V)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), ys_out.flatten(), ignore_index=PADDING, reduction="none"
        )  # (B * L,)
        return loss.view(ys_out.shape).sum(1)  # (B,)
