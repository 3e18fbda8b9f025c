"""Networks of a few units that are scorers of ESPnet's and of the grid's, and stock ESPnet's search with them."""

from __future__ import annotations

import functools
import itertools
import types

import torch

from kdasr.espnet import name


class Plain:
    """A recurrent network that reads the last token, all tokens before by its state, and the mean of all frames.

    It has what ESPnet asks of a scorer, and no more.
    """

    def __init__(self, vocab, width, units=4, seed=0, sharp=3.0, end=0.0):
        generator = torch.Generator().manual_seed(seed)
        shapes = {"embed": (vocab, units), "mix": (units, units), "read": (width, units), "out": (units, vocab)}
        for part, shape in shapes.items():
            setattr(self, part, torch.randn(shape, generator=generator))
        self.out, self.bias = sharp * self.out, torch.randn(vocab, generator=generator)
        self.bias[-1] += end

    def after(self, tokens, state, context):
        state = (self.embed[tokens] + state @ self.mix + context).tanh()
        return (state @ self.out + self.bias).log_softmax(-1), state

    def init_state(self, x):
        return torch.zeros(self.mix.shape[0])

    batch_init_state = init_state

    def select_state(self, state, i, new_id=None):
        return state[i]

    def score(self, y, state, x):
        return self.after(y[-1], state, x.mean(0) @ self.read)

    def batch_score(self, ys, states, xs):
        logp, states = self.after(ys[:, -1], torch.stack(states), xs[0].mean(0) @ self.read)
        return logp, list(states)


class Toy(Plain):
    """The same, which the grid takes as it is."""

    def remember(self, hs, hlens):
        return torch.stack([x[:n].mean(0) @ self.read for x, n in zip(hs, hlens.tolist(), strict=True)])

    def start(self, memory, hypotheses):
        return memory.new_zeros(len(memory), hypotheses, memory.shape[1])

    def step(self, tokens, state, memory):
        return self.after(tokens, state, memory.unsqueeze(1))


class Table(Toy):
    """Scores by the step and the token alone: (steps, vocab), the last row for all steps after."""

    def __init__(self, rows):
        self.rows = torch.tensor(rows)
        self.mix = self.read = torch.zeros(self.rows.shape[1], 1)

    def after(self, tokens, state, context):
        step = state[..., 0].long().clamp(max=len(self.rows) - 1)
        return self.rows[step], state + 1

    def init_state(self, x):
        return torch.zeros(1)

    batch_init_state = init_state


@functools.cache
def interfaces(kind, batched):
    interface = "BatchScorerInterface" if batched else "ScorerInterface"
    return type(kind.__name__, (kind, name(f"espnet.nets.scorer_interface:{interface}")), {})


def toy_scorer(batched, *args, kind=Toy, **more):
    """A Toy, or another kind, that ESPnet batches or does not."""
    return interfaces(kind, batched)(*args, **more)


def toy_model(vocab, decoder):
    """What kdasr.search.scorers reads of a model; of encoder outputs the first `vocab` units are CTC's logits."""
    ctc = types.SimpleNamespace(log_softmax=lambda hs: hs[..., :vocab].log_softmax(2))
    tokens = ["<blank>", *map(str, range(1, vocab - 1)), "<sos/eos>"]
    return types.SimpleNamespace(
        token_list=tokens, decoder=decoder, ctc=ctc, sos=vocab - 1, eos=vocab - 1, blank_id=0
    )  # fmt: skip


class Recording:
    """ESPnet's search that keeps how near to another choice it was, and when it stopped."""

    nearest, impossible = float("inf"), False

    def note(self, scores):
        """The scores from which a beam was chosen; what CTC calls impossible (-1e9) has no order in float32."""
        best = [score for score in sorted(scores, reverse=True)[: self.beam_size + 1] if score > -1e8]
        self.nearest = min([self.nearest, *(a - b for a, b in itertools.pairwise(best))])
        self.impossible |= len(best) < min(self.beam_size, len(scores))

    def beam(self, weighted_scores, ids):
        self.choices += weighted_scores[ids].tolist()
        return super().beam(weighted_scores, ids)

    def batch_beam(self, weighted_scores, ids):
        self.choices = weighted_scores.flatten().tolist()
        return super().batch_beam(weighted_scores, ids)

    def search(self, *args, **more):
        self.choices = []
        best = super().search(*args, **more)
        self.note(self.choices)
        return best

    def post_process(self, i, maxlen, minlen, maxlenratio, running_hyps, ended_hyps):
        running = super().post_process(i, maxlen, minlen, maxlenratio, running_hyps, ended_hyps)
        ends = name("espnet.nets.e2e_asr_common:end_detect")
        detected = maxlenratio == 0 and ends([hyp.asdict() for hyp in ended_hyps], i)
        self.stop = "end detected" if detected else "maxlen" if i == maxlen - 1 else "beam empty"
        self.steps, self.maxlen = i + 1, maxlen
        return running


@functools.cache
def recording(kind):
    return type("RecordingSearch", (Recording, name(f"espnet.nets.{kind}")), {})


@torch.no_grad()
def stock_search(model, x, options, lm=None):
    """ESPnet's search after that of one encoded utterance (T, E), and all its hypotheses, as asr_inference does it."""
    interface = name("espnet.nets.scorer_interface:BatchScorerInterface")
    vocab = len(model.token_list)
    scorers = {
        "decoder": model.decoder,
        "ctc": name("espnet.nets.scorers.ctc:CTCPrefixScorer")(ctc=model.ctc, eos=model.eos),
        "length_bonus": name("espnet.nets.scorers.length_bonus:LengthBonus")(vocab),
        "lm": lm,
    }
    weights = {
        "decoder": 1 - options.ctc_weight,
        "ctc": options.ctc_weight,
        "length_bonus": options.penalty,
        "lm": options.lm_weight,
    }
    used = [scorers[key] for key in ("decoder", "lm") if weights[key] != 0 and scorers[key] is not None]
    batched = all(isinstance(scorer, interface) for scorer in used)
    search = recording("batch_beam_search:BatchBeamSearch" if batched else "beam_search:BeamSearch")(
        beam_size=options.beam,
        weights=weights,
        scorers=scorers,
        sos=model.sos,
        eos=model.eos,
        vocab_size=vocab,
        pre_beam_score_key=None if options.ctc_weight == 1.0 else "full",
        normalize_length=options.normalize_length,
    ).eval()
    found = search(x, maxlenratio=options.maxlenratio, minlenratio=options.minlenratio)
    return search, [hyp.asdict() for hyp in found]


def spelt(yseq, eos):
    """ESPnet's token ids; at the last step it appends <eos> to what ends in <eos> already."""
    tokens = yseq[1:-1]
    return tokens[:-1] if tokens and tokens[-1] == eos else tokens
