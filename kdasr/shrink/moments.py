"""What the weights of a model read on a set: second moments of their inputs, over frames and tokens.

T  input frames, or samples   S  encoded frames   L  tokens of a reference   I  numbers that a weight reads
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdasr.data.tokens import load_tokens, of_model
from kdasr.data.utterances import Reading
from kdasr.errors import UserError
from kdasr.espnet import name as of_espnet
from kdasr.files import read_table
from kdasr.models import Models, find_model
from kdasr.networks.teachers import encode
from kdasr.search.engine import Engine
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import read_rows

TOO_SHORT = of_espnet("espnet.nets.pytorch_backend.transformer.subsampling:TooShortUttError")


class Gathered:
    """Sums of x x^T by the name of the weight that reads x."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, x: Tensor) -> None:
        """Inputs (..., I) of a weight."""
        rows = x.detach().reshape(-1, x.size(-1)).double()  # (., I)
        self.sums[name] = self.sums.get(name, torch.zeros((), dtype=torch.float64)) + rows.T @ rows
        self.counts[name] = self.counts.get(name, 0) + len(rows)

    @property
    def means(self) -> dict[str, Tensor]:
        """(I, I) mean(x x^T) of each."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}


def utterances(
    directory: Path, model_file: str | None, data: Path, count: int, reading: Reading
) -> list[tuple[Tensor, list[int]]]:
    """Inputs (T, F) or (T,) and token ids of references, of up to `count` utterances spread evenly over a set.

    Raises:
        UserError: the set has no references, or is not what the model takes.
    """
    source = find_model(directory, model_file)
    rows = read_rows(data, source, reading)
    if not (data / "text").is_file():
        raise UserError(f"{data}: has no text; importance on a set is that of its references, name a transcribed one")
    text = read_table(data / "text", empty=True)
    chosen = [rows[place * len(rows) // count] for place in range(count)] if count < len(rows) else rows
    without = next((row.name for row in chosen if row.name not in text), None)
    if without is not None:
        raise UserError(f"{data}/text: {without} is missing; correct the directory (utils/fix_data_dir.py)")
    engine = Engine(Models((source,)), SearchOptions(beam=1, nbest=1, ctc_weight=0.0), Computing(40000))
    own = directory / "tokens"
    tokens = load_tokens(own) if own.is_dir() else of_model(directory)
    return [(torch.from_numpy(engine.read(row)), tokens.encode(text[row.name])) for row in chosen]


@torch.no_grad()
def gather(model: Any, heard: Sequence[tuple[Tensor, Sequence[int]]]) -> dict[str, Tensor]:
    """Second moments (I, I) of what each weight reads, each utterance alone, led along its reference.

    Args:
        model: an ESPnet ASR model in evaluation mode.
        heard: input and token ids of utterances; where there are more tokens than encoded frames the encoder's
            alone count.

    Raises:
        UserError: no reference is left.
    """
    gathered, led = Gathered(), 0
    hooks = [hook for name, module in model.named_modules() for hook in watch(name, module, gathered.add)]
    try:
        for speech, reference in heard:
            try:
                encoded, frames = encode(model, speech[None].clone(), torch.tensor([len(speech)]))  # (1, S, E)
            except TOO_SHORT:  # nothing is left of it
                continue
            if len(reference) > encoded.size(1):  # more tokens than frames: what is written is not what was said
                continue
            led += 1
            model.ctc.ctc_lo(encoded)
            if model.decoder is not None:
                follow(model, encoded, frames, torch.tensor([[model.sos, *reference]]))
    finally:
        for hook in hooks:
            hook.remove()
    if not led:
        raise UserError(f"--data: all {len(heard)} utterances are shorter than their references; name another set")
    return gathered.means


def follow(model: Any, encoded: Tensor, frames: Tensor, ys_in: Tensor) -> None:
    """Run a decoder over a target (1, L + 1), every module of it by its forward()."""
    decoder = model.decoder
    if not hasattr(decoder, "remember"):
        decoder(encoded, frames, ys_in, torch.tensor([ys_in.size(1)]))
        return
    memory = decoder.remember(encoded, frames)
    state = decoder.start(memory, 1)
    with torch.enable_grad():  # without gradients kdasr's own decoder takes short cuts past its modules
        for step in range(ys_in.size(1)):
            _, state = decoder.step(ys_in[:, step : step + 1], state, memory)


def watch(name: str, module: nn.Module, add: Callable[[str, Tensor], None]) -> list[Any]:
    """Hooks that note what a module's weights read."""
    if isinstance(module, nn.Linear):
        return [module.register_forward_pre_hook(lambda _, given: add(f"{name}.weight", given[0]))]
    if isinstance(module, nn.Conv1d):
        return [module.register_forward_pre_hook(lambda _, given: add(f"{name}.weight", given[0].transpose(1, -1)))]
    if isinstance(module, nn.Conv2d):
        return [module.register_forward_pre_hook(lambda _, given: add(f"{name}.weight", given[0].movedim(1, -1)))]
    if isinstance(module, nn.GRUCell | nn.LSTMCell):

        def cell(_: nn.Module, given: tuple[Any, ...]) -> None:
            add(f"{name}.weight_ih", given[0])
            add(f"{name}.weight_hh", given[1][0] if isinstance(given[1], tuple) else given[1])

        return [module.register_forward_pre_hook(cell)]
    if isinstance(module, nn.LSTM | nn.GRU):

        def layer(_: nn.Module, given: tuple[Tensor, ...], made: tuple[Tensor, Any]) -> None:
            add(f"{name}.weight_ih_l0", given[0])
            add(f"{name}.weight_hh_l0", made[0][:, :-1])  # what the next frame reads; the first one reads zeros

        return [module.register_forward_hook(layer)]
    return []
