"""Scorers give a grid of hypotheses the scores of their next tokens; and the choice of a model's scorers.

| axis | meaning |
|---|---|
| B | utterances in the grid |
| K | hypotheses an utterance |
| X | candidate next tokens a hypothesis |
| V | tokens |
| S | encoder frames, padded |

Every scorer splits what it knows in two. Its memory belongs to an utterance, is made once and is never
copied for the hypotheses: tensors (B, ...). Its state belongs to a hypothesis: tensors (B, K, ...). The
search moves both by index alone, and does not know what is in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from kdasr.errors import UserError
from kdasr.espnet import name as of_espnet
from kdasr.s2t import S2T
from kdasr.search import tree
from kdasr.search.ctc import CtcPrefixScorer
from kdasr.search.ensemble import CtcEnsemble, DecoderEnsemble
from kdasr.search.lms import RnnLmScorer
from kdasr.search.one_by_one import OneByOne
from kdasr.search.options import SearchOptions
from kdasr.search.rnn_decoders import RnnDecoderScorer
from kdasr.search.transformers import TransformerLmScorer, TransformerScorer

Memory = Any
State = Any


class FullScorer(Protocol):
    """Scores every token at once: a decoder, a language model."""

    def remember(self, hs: Tensor, hlens: Tensor) -> Memory:
        """Encoder output (B, S, E) with lengths (B,) -> memory."""

    def start(self, memory: Memory, hypotheses: int) -> State:
        """The state before the first token, for K hypotheses of each utterance."""

    def step(self, tokens: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Log scores (B, K, V) of what follows `tokens` (B, K), and the state after these."""

    def reorder(self, state: State, parents: Tensor) -> State:
        """The state in which hypothesis k of utterance b is a child of parents[b, k] (B, K)."""

    def keep(self, tree: Memory | State, utterances: Tensor) -> Memory | State:
        """Memory or state of these utterances (B',) only."""

    def put(self, old: Memory | State, utterances: Tensor, new: Memory | State) -> Memory | State:
        """Memory or state in which these utterances (B',) are replaced by those of `new`, which are at step 0."""


class PartialScorer(Protocol):
    """Scores chosen candidates, and continues with the survivors: CTC prefixes."""

    def remember(self, hs: Tensor, hlens: Tensor) -> Memory:
        """As FullScorer's."""

    def start(self, memory: Memory, hypotheses: int) -> State:
        """As FullScorer's."""

    def score(self, state: State, memory: Memory, candidates: Tensor | None) -> Tensor:
        """Log scores (B, K, X) that the candidates (B, K, X) add; all tokens (B, K, V) for None."""

    def advance(self, state: State, memory: Memory, tokens: Tensor, scores: Tensor) -> State:
        """The state after one more token each (B, K), which added `scores` (B, K)."""


class InTensors:
    """A full scorer from anything with remember, start and step whose memory and state are trees of tensors."""

    def __init__(self, decoder: Any) -> None:
        self.remember, self.start, self.step = decoder.remember, decoder.start, decoder.step
        if hasattr(decoder, "centre"):  # the frame (B, K) that the hypotheses of a state attend to
            self.centre = decoder.centre

    reorder = staticmethod(tree.reorder)
    keep = staticmethod(tree.keep)
    put = staticmethod(tree.put)


class Weighted(NamedTuple):
    """A scorer, its name in the N-best, its weight in the sum, and the model whose encoder output it reads.

    `model` is the number of the model in an ensemble; None: of all, and `remember` takes the list of all
    models' (hs, hlens) instead of the two of one.
    """

    name: str
    scorer: Any
    weight: float
    model: int | None = 0


@dataclass(frozen=True)
class Scorers:
    """All that scores hypotheses, and what the search must know about the tokens.

    Attributes:
        full, partial: scorers of each kind; one at least in all. The decoder, if any, is the first full one.
        vocab: V.
        eos_always: whether CTC scores the end token even where pre-beam left it out, as ESPnet's
            BatchBeamSearch does; its BeamSearch, which serves when any full scorer is no BatchScorerInterface
            (the RNN decoder is none), does not.
        prompt: ids that follow <sos> in every hypothesis, and are no part of it (S2T models).
        pre_beam: candidates a hypothesis has for the partial scorers, as a multiple of the beam; 0 for all tokens.
    """

    vocab: int
    sos: int
    eos: int
    full: list[Weighted] = field(default_factory=list)
    partial: list[Weighted] = field(default_factory=list)
    eos_always: bool = False
    pre_beam: float = 1.5
    prompt: tuple[int, ...] = ()

    @property
    def before(self) -> tuple[int, ...]:
        """What stands before the first token."""
        return (self.sos, *self.prompt)


class NoTimestamps:
    """A full scorer that forbids the timestamps of an S2T model: espnet2.bin.s2t_inference's ScoreFilter.

    Args:
        vocab: V.
        first, last: ids of the timestamps.
    """

    reorder = staticmethod(tree.reorder)
    keep = staticmethod(tree.keep)
    put = staticmethod(tree.put)

    def __init__(self, vocab: int, first: int, last: int) -> None:
        self.vocab, self.first, self.last = vocab, first, last

    def remember(self, hs: Tensor, hlens: Tensor) -> Tensor:
        """The scores of an utterance's tokens (B, V): none, or never."""
        scores = hs.new_zeros(len(hs), self.vocab)  # (B, V)
        scores[:, self.first : self.last + 1] = -float("inf")
        return scores

    def start(self, memory: Tensor, hypotheses: int) -> Tensor:
        """Nothing is remembered of prefixes: (B, K, 0)."""
        return memory[:, None, :0].expand(-1, hypotheses, -1)

    def step(self, tokens: Tensor, state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The same scores (B, K, V) behind all tokens (B, K)."""
        return memory[:, None].expand(-1, tokens.shape[1], -1), state


def scorers_of(model: Any, options: SearchOptions, lm: Any = None, s2t: S2T | None = None) -> Scorers:
    """The scorers with which stock ESPnet would decode this model (espnet2.bin.asr_inference), or an ensemble.

    An S2T model is decoded as espnet2.bin.s2t_inference does. There the prompt counts as tokens that CTC has spelled,
    which leaves it as many frames less: none of its paths has a token before.

    Args:
        model: an ESPnet ASR model, or a list of those of an ensemble, over one token list.
        options: of the search.
        lm: a language model over the same tokens (an ESPnet AbsLM, or anything kdasr.search.lms takes), or None.
        s2t: how S2T models are used.

    Raises:
        UserError: a model has no attention decoder or no CTC layer for the weights asked for, or numbers
            its special tokens as the first one does not.
    """
    models = list(model) if isinstance(model, list | tuple) else [model]
    first, ctc_weight = models[0], options.ctc_weight
    vocab = len(first.token_list)
    options.check()
    if any((one.sos, one.eos, blank_of(one)) != (first.sos, first.eos, blank_of(first)) for one in models):
        raise UserError("the models of the ensemble differ in their <sos>, <eos> or blank token; leave one out")
    full, partial = [], []
    eos_always = True  # as long as all full scorers are ESPnet's BatchScorerInterface
    if ctc_weight < 1.0:
        decoders = [decoder_scorer(one) for one in models]
        full.append(_one_or_all("decoder", [scorer for scorer, _ in decoders], DecoderEnsemble, options))
        eos_always = all(batched for _, batched in decoders)
    prompt = s2t.prompt if s2t else ()
    if s2t:
        full.append(Weighted("scorefilter", NoTimestamps(vocab, *s2t.timestamps), 1.0))
    if lm is not None and options.lm_weight != 0.0:
        scorer, batched = lm_scorer(lm)
        full.append(Weighted("lm", scorer, options.lm_weight))
        eos_always = eos_always and batched
    if ctc_weight > 0.0:
        if any(getattr(one, "ctc", None) is None for one in models):
            raise UserError(f"--ctc_weight {ctc_weight}: the model has no CTC layer; give --ctc_weight 0")
        window = options.ctc_window
        if window and (len(models) > 1 or not full or not hasattr(full[0].scorer, "centre")):
            raise UserError(f"--ctc_window {window}: needs one model with a recurrent attention decoder; leave it out")
        ctcs = [
            CtcPrefixScorer(one.ctc.log_softmax, one.blank_id, one.sos, one.eos, window=window, skip=len(prompt))
            for one in models
        ]
        partial.append(_one_or_all("ctc", ctcs, CtcEnsemble, options))
    pre_beam = 0.0 if ctc_weight == 1.0 else 1.5
    return Scorers(vocab, first.sos, first.eos, full, partial, eos_always, pre_beam, prompt)


def blank_of(model: Any) -> int:
    """The id of a model's blank; ESPnet's translation models do not name it, and leave out 0 as well."""
    return getattr(model, "blank_id", 0)


def _one_or_all(name: str, scorers: list[Any], ensemble: Any, options: SearchOptions) -> Weighted:
    """The only model's scorer, or all models' as one, with the weight that belongs to its name."""
    weight = options.ctc_weight if name == "ctc" else 1.0 - options.ctc_weight
    if len(scorers) == 1:
        return Weighted(name, scorers[0], weight)
    return Weighted(name, ensemble(scorers, options.log_linear), weight, model=None)


def decoder_scorer(model: Any) -> tuple[FullScorer, bool]:
    """A model's attention decoder as a scorer, and whether ESPnet batches its hypotheses."""
    decoder = model.decoder
    if decoder is None or getattr(model, "use_transducer_decoder", False):
        raise UserError("the model has no attention decoder; give --ctc_weight 1 if it has a CTC layer")
    return _as_scorer(decoder, RnnDecoderScorer, TransformerScorer), is_batched(decoder)


def lm_scorer(lm: Any) -> tuple[FullScorer, bool]:
    """A language model as a scorer, and whether ESPnet batches its hypotheses."""
    return _as_scorer(lm, RnnLmScorer, TransformerLmScorer), is_batched(lm)


def _as_scorer(network: Any, recurrent: Any, transformer: Any) -> FullScorer:
    """A network with remember, start and step as it is; ESPnet's by the native scorer that fits, else its `score`."""
    if all(hasattr(network, method) for method in ("remember", "start", "step")):
        return InTensors(network)
    if recurrent.fits(network):
        return InTensors(recurrent(network))
    if transformer.fits(network):
        return transformer(network)
    return OneByOne(network)


def is_batched(scorer: Any) -> bool:
    """Whether ESPnet scores the hypotheses of an utterance together with it."""
    return isinstance(scorer, of_espnet("espnet.nets.scorer_interface:BatchScorerInterface"))
