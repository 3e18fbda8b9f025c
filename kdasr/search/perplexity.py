"""How well a model's attention decoder predicts references it is led along (teacher forcing).

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

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kdasr.data.kaldi_dir import SOURCE
from kdasr.data.tokens import Tokens, load_tokens, of_model
from kdasr.data.utterances import AS_IT_IS, Reading
from kdasr.errors import UserError
from kdasr.files import read_json, read_table, write_json
from kdasr.models import Models, attends, find_models
from kdasr.s2t import S2T, UNASKED, Prompt
from kdasr.search.engine import Engine, buckets
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import read_rows
from kdasr.shards import digest

PADDING = -1


def write_perplexity(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    model_file: str | None = None,
    batch_frames: int = 40000,
    ngpu: int = 0,
    reading: Reading = AS_IT_IS,
    prompt: Prompt = UNASKED,
) -> None:
    """Compute what is not there yet, write it, and print it.

    Args:
        model: directory of a trained ESPnet2 model.
        data: data directory with feats.scp (or wav.scp) and text.
        out: JSON file to write.
        model_file: checkpoint in `model`; None for the averaged best.
        batch_frames: padded input frames (10 ms) in a batch.
        ngpu: 0: CPU; 1: a GPU.
        reading: how audio is read.
        prompt: what an S2T model is asked for.

    Raises:
        UserError: no references, no attention decoder, or a probability that is no number.
    """
    if batch_frames < 1 or ngpu < 0:
        raise UserError("--batch_frames: expected 1 or more, and --ngpu 0 or more")
    if not (Path(data) / "text").is_file():
        raise UserError(f"{data}: has no text; perplexity is that of references, name a transcribed set")
    models = find_models([str(model)], model_file, prompt=prompt)
    if not attends(model):
        raise UserError(f"{model}: was trained with CTC alone; name a model with an attention decoder")
    checkpoint, config, listed = models.first.hashes
    text = digest(Path(data) / "text")
    settings = {"model": checkpoint, "config": config, "token_list": listed, "text": text}
    settings |= reading.changed() | ({"prompt": " ".join(models.first.s2t.words)} if models.first.s2t else {})
    if models.first.reads:
        settings["source"] = digest(Path(data) / SOURCE)
    out = Path(out)
    there = read_json(out) if out.is_file() else {}
    if there and all(there.get(key) == value for key, value in settings.items()):
        print(f"{out}: computed already, perplexity {there['ppl']:.4f}; to compute again: rm {out}")
        return
    result = {**measure(models, data, batch_frames, ngpu, reading), **settings}
    write_json(out, result)
    left = f"; {result['too_short']} utterances are too short to be encoded" if result["too_short"] else ""
    print(f"{out}: perplexity {result['ppl']:.4f} over {result['tokens']:,} tokens{left}")


def measure(
    models: Models, data: str | Path, batch_frames: int, ngpu: int, reading: Reading = AS_IT_IS
) -> dict[str, Any]:
    """Perplexity of one model, and the counts it is of; arguments as `write_perplexity`."""
    directory = Path(models.first.directory)
    rows = read_rows(data, models.first, reading)
    text = read_table(Path(data) / "text", empty=True)
    without = next((row.name for row in rows if row.name not in text), None)
    if without is not None:
        raise UserError(f"{data}/text: {without} is missing; correct the directory (utils/fix_data_dir.py)")
    own = directory / "tokens"
    tokens: Tokens = load_tokens(own) if own.is_dir() else of_model(directory)
    engine = Engine(models, SearchOptions(beam=1, nbest=1, ctc_weight=0.0), Computing(batch_frames, device(ngpu)))
    if getattr(engine.model.decoder, "sampling_probability", 0.0):
        engine.model.decoder.sampling_probability = 0.0  # ESPnet's RNN decoder would feed its own tokens even here
    names = [row.name for row in rows]
    inputs = [engine.read(row) for row in rows]
    lengths = [engine.computed(x) for x in inputs]
    nll, counted, unknown, encoded_rows = 0.0, 0, 0, 0
    for bucket in buckets(lengths):
        slots = max(1, batch_frames // max(1, lengths[bucket[0]]))
        for first in range(0, len(bucket), slots):
            chunk = bucket[first : first + slots]
            encoded = list(engine.encoded({number: inputs[number] for number in chunk}, slots, names))
            if not encoded:
                continue
            references = [tokens.encode(text[names[one.number]]) for one in encoded]
            hs = [one.hs[0] for one in encoded]  # (S, E) each
            nll += float(costs(engine.model, hs, references, models.first.s2t).double().sum())
            counted += sum(len(reference) + 1 for reference in references)
            unknown += sum(reference.count(tokens.ids["<unk>"]) for reference in references)
            encoded_rows += len(encoded)
    if not counted:
        raise UserError(f"{data}: every utterance is too short to be encoded; name another set")
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


def costs(model: Any, encoded: Sequence[Tensor], references: Sequence[Sequence[int]], s2t: S2T | None = None) -> Tensor:
    """Negative log probabilities (B,) that a model's decoder gives to references, <eos> included.

    Args:
        model: an ESPnet ASR model in evaluation mode.
        encoded: encoder outputs (S, E), at least one frame each.
        references: token ids, without <sos> and <eos>.
        s2t: how an S2T model is used: ids are those of its students, and its symbols have no share of the probability.
    """
    ids, prompt = (s2t.ids, s2t.prompt) if s2t else (range(len(model.token_list)), ())
    end = len(ids) - 1 if s2t else model.eos
    with torch.no_grad():
        hs = pad_sequence(list(encoded), batch_first=True)  # (B, S, E)
        hlens = torch.tensor([len(one) for one in encoded], device=hs.device)  # (B,)
        given = [[model.sos, *prompt, *(ids[token] for token in reference)] for reference in references]
        wanted = [[PADDING] * len(prompt) + [*reference, end] for reference in references]
        ys_in, ys_out = (
            pad_sequence([torch.tensor(one) for one in ys], batch_first=True, padding_value=padding).to(hs.device)
            for ys, padding in ((given, model.eos), (wanted, PADDING))
        )  # (B, L) both
        lens = torch.tensor([len(one) for one in given], device=hs.device)  # (B,)
        logits, _ = model.decoder(hs, hlens, ys_in, lens)  # (B, L, V)
        logits = logits[..., torch.tensor(ids, device=hs.device)] if s2t else logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), ys_out.flatten(), ignore_index=PADDING, reduction="none"
        )  # (B * L,)
        return loss.view(ys_out.shape).sum(1)  # (B,)
