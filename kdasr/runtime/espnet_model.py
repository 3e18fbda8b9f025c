"""An ESPnet model as a recogniser or translator takes it (kdasr.runtime.model.Model), in torch, without an export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdasr.data.source_text import source_tokens
from kdasr.errors import UserError
from kdasr.model_facts import features_of, kind_of, tokens_of, usual_weight
from kdasr.models import find_model, read_config
from kdasr.networks.load import load_model
from kdasr.runtime.model import OTHER
from kdasr.runtime.search import Hypothesis
from kdasr.runtime.source import Source
from kdasr.runtime.spell import Spelling
from kdasr.search.encode import Encoder
from kdasr.search.engine import out_of_memory
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import blank_of, decoder_scorer, scorers_of
from kdasr.search.stream import search
from kdasr.targets.frame_times import of_features, of_model


class EspnetModel:
    """A model directory, loaded."""

    def __init__(self, directory: Path, threads: int, translates: bool) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        source = find_model(directory, None)
        if bool(source.reads) is not translates:
            raise UserError(f"{directory}: {OTHER[translates]}")
        self.model, args = load_model(directory, str(Path(source.checkpoint).absolute()))
        tokens = tokens_of(directory, args, self.model)
        self.directory, self.path, self.rate = directory, str(directory), 0
        self.features, self.frame_seconds, self.first_frame_seconds = None, 0.0, 0.0
        if not translates:
            made = features_of(directory, source)
            times = of_model(read_config(directory), of_features(made))
            scale = times.rate or 100  # without a rate, times count frames of 10 ms
            self.rate = source.sample_rate or int(made["rate"])
            self.features = None if source.bins is None else kind_of(made, source.bins, directory)
            self.frame_seconds, self.first_frame_seconds = times.step / scale, times.first / scale
        self.spelling = Spelling(
            tokens["kind"], source.tokens, frozenset(tokens["silent"]), tokens["space"], tokens["unk"]
        )
        self.blank, self.ctc = blank_of(self.model), getattr(self.model, "ctc", None)  # a translator has no CTC
        weight = usual_weight(self.model.decoder is not None, self.ctc is not None)
        self.options = SearchOptions(nbest=1, ctc_weight=weight)
        self.encoder = Encoder(self.model, "cpu")

    def source(self) -> Source:
        """As `Model`."""
        return Source(source_tokens(self.directory), self.model.src_sos)

    @torch.no_grad()
    def hypotheses(self, x: np.ndarray, options: SearchOptions) -> tuple[list[Hypothesis], np.ndarray | None]:
        """As `Model`."""
        if x.dtype == np.int64:  # text, before which the model itself puts <sos>
            x = x[1:]
        try:
            hs = self.encoder.encode([torch.from_numpy(np.ascontiguousarray(x))])[0]  # (S, E)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise UserError(f"{self.path}: an input of {len(x)} does not fit into memory; give a shorter one") from None
        if hs is None or not len(hs):
            return [], None
        lengths = torch.tensor([len(hs)])
        [found] = search(hs[None], lengths, scorers_of(self.model, options), options)
        logp = None if self.ctc is None else self.ctc.log_softmax(hs[None])[0].numpy()  # (S, V)
        best = [self._gains(hs, hyp.tokens) for hyp in found.hyps[:1]]
        gains = [*best, *[()] * (len(found.hyps) - 1)]
        return [
            Hypothesis(tuple(hyp.tokens), hyp.score, hyp.scores, own, hyp.ended)
            for hyp, own in zip(found.hyps, gains, strict=True)
        ], logp

    def _gains(self, hs: torch.Tensor, tokens: list[int]) -> tuple[float, ...]:
        """The decoder's log probability of each token given those before; CTC's without a decoder."""
        if self.model.decoder is None:
            options = replace(self.options, beam=1, ctc_weight=1.0)
            scorer: Any = scorers_of(self.model, options).partial[0].scorer
            memory = scorer.remember(hs[None], torch.tensor([len(hs)]))
            state, gains = scorer.start(memory, 1), []
            for token in tokens:
                score = scorer.score(state, memory, None)[:, :, token]  # (1, 1)
                state = scorer.advance(state, memory, torch.tensor([[token]]), score)
                gains.append(float(score))
            return tuple(gains)
        scorer, _ = decoder_scorer(self.model)
        memory = scorer.remember(hs[None], torch.tensor([len(hs)]))
        state, gains, last = scorer.start(memory, 1), [], self.model.sos
        for token in tokens:
            after, state = scorer.step(torch.tensor([[last]]), state, memory)  # (1, 1, V)
            gains.append(float(after[0, 0, token]))
            last = token
        return tuple(gains)
