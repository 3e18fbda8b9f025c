"""The search and the encoders on a pretended GPU (tests/pretend_gpu.py): the CPU's N-best, and what it waits for."""

import json
import sys
from pathlib import Path

import pytest
import search_models as models
import torch
from pretend_gpu import OnGpu, Refused, pretend_gpu

sys.path.insert(0, str(Path(__file__).parents[1] / "nbest"))
from nbest_models import nbest, write_place

from kdasr.search import engine, stream
from kdasr.search.encode import Encoder
from kdasr.search.graphs import recordable
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import scorers_of
from kdasr.search.stream import Utterance

VGG = {"encoder": "vgg_rnn", "encoder_conf": {"num_layers": 1, "hidden_size": 12, "output_size": 12, "dropout": 0.0}}
MUNIM = {
    **{"encoder": "munim_rnn", "encoder_conf": {"hidden_size": 12, "num_layers": 1}},
    **{"decoder": "munim_gru", "decoder_conf": {"hidden_size": 12, "embed_size": 6}, "input_size": 40},
}
OPTIONS = SearchOptions(beam=3, nbest=3, ctc_weight=0.3)
FRAMES = (26, 24, 22, 20)


def test_what_is_pretended():
    """Devices do not mix, everything that waits is seen, and a result is the CPU's."""
    with pretend_gpu() as gpu:
        x = torch.arange(6.0).to("cuda:0").view(2, 3)
        assert isinstance(x, OnGpu) and x.is_cuda and x.device == torch.device("cuda:0")
        for mixed in (
            lambda: x + torch.ones(3),
            lambda: torch.cat([x, torch.ones(1, 3)]),
            lambda: torch.ones(2)[x.long()],
        ):
            with pytest.raises(Refused, match="same device"):
                mixed()
        with pytest.raises(TypeError, match="can't convert cuda"):
            x.numpy()
        with gpu.seen() as seen:  # none of these waits
            y = (x * 2.0 + 1).masked_fill(x > 3, 0.0)
            y[x == 0] = 7.0
            y[0, 1] = torch.zeros((), device="cuda")
            torch.zeros(2, device=x.device).index_add_(0, torch.zeros_like(x[:, 0]).long(), y[:, 0])
        assert not seen.reads + seen.uploads
        with gpu.seen() as seen:
            assert y.tolist() == [[7.0, 0.0, 5.0], [7.0, 0.0, 0.0]]
            assert y[0, 0].item() == 7 and bool((y > 0).any()) and x.cpu().sum() == 15 and int(x.max()) == 5
            assert x[x > 3].shape == (2,) and len((x > 3).nonzero()) == 2 and not torch.equal(x, y)
        assert len(seen.reads) == 8 and not seen.uploads
        with gpu.seen() as seen:
            x[torch.tensor([0])], x.new_tensor([1.0]), torch.tensor([1, 2], device="cuda"), x.copy_(torch.ones(2, 3))
        assert len(seen.uploads) == 4 and not seen.reads


def found(model, options, hs, slots, **how):
    """What the search of encoder outputs finds: tokens and scores of each hypothesis."""
    rows = [Utterance(n, (one,)) for n, one in enumerate(hs)]
    made = dict(stream.stream(rows, scorers_of(model, options), options, slots, **how))
    return {n: [(hyp.tokens, pytest.approx(hyp.score, abs=1e-4)) for hyp in made[n].hyps] for n in sorted(made)}


CASES = [
    ("location_lstm", 0.3, None),
    ("multi_head_loc", 0.0, None),
    ("transformer", 0.3, None),
    ("kdasr", 0.3, None),
    ("kdasr", 1.0, None),
    ("kdasr", 0.0, MUNIM),
]


@pytest.mark.parametrize(("kind", "ctc_weight", "changes"), CASES)
def test_a_step_waits_for_nothing_and_a_look_once(kind, ctc_weight, changes, monkeypatch):
    """`seat`, `extend`, `end`, `_leave`, `_fill` and `_keep`: what is found is the CPU's; 4 utterances in 2 rows."""
    options = SearchOptions(beam=3, nbest=3, ctc_weight=ctc_weight)
    model = models.build(kind, changes=changes)
    hs = models.encode(model, models.features(FRAMES, 40 if changes else 8))
    here = found(model, options, hs, 2)
    steps, plain = [], stream.step
    with pretend_gpu() as gpu:

        def step(*given):
            with gpu.seen() as seen:
                table = plain(*given)
            steps.append(seen)
            return table

        monkeypatch.setattr(stream, "step", step)
        model.to("cuda:0")
        there = [one.to("cuda:0") for one in hs]
        with gpu.seen() as seen:
            assert found(model, options, there, 2) == here
    looks = len(steps) // stream.LOOK_GPU
    # The table of positions of a transformer goes to the GPU with the first step of all.
    assert sum(len(one.reads) + len(one.uploads) for one in steps) == (kind == "transformer"), steps[0].table()
    reads = [line.split()[0].rpartition(":")[0] for line in seen.reads]
    assert len(steps) == stream.LOOK_GPU * looks and reads.count("kdasr/search/stream.py") == looks
    assert reads.count("kdasr/search/grid.py") <= min(looks, 4)  # once where some are done
    assert reads.count("kdasr/search/transformers.py") <= (2 if kind == "transformer" else 0)  # a fill and a keep
    assert len(seen.uploads) <= 20, seen.table()


@pytest.mark.parametrize(("kind", "ctc_weight", "changes"), CASES)
def test_steps_replayed_find_the_same(kind, ctc_weight, changes):
    """One graph for a grid whose rows are refilled; what is recorded happens only when it is replayed."""
    options = SearchOptions(beam=3, nbest=3, ctc_weight=ctc_weight)
    model = models.build(kind, changes=changes)
    hs = models.encode(model, models.features(FRAMES, 40 if changes else 8))
    here = found(model, options, hs, 2)
    with pretend_gpu() as gpu:
        model.to("cuda:0")
        there = [one.to("cuda:0") for one in hs]
        with gpu.seen() as seen:
            assert found(model, options, there, 2, graphs=True) == here
        assert gpu.graphs == 1 and gpu.replays % stream.LOOK_GPU == 0 and gpu.replays > stream.LOOK_GPU
        looks = gpu.replays // stream.LOOK_GPU
        assert sum(line.startswith("kdasr/search/stream.py") for line in seen.reads) == looks


def test_language_models_and_ensembles_are_replayed_too():
    """Caches of prefixes within an ensemble, and a transformer as language model."""
    options = SearchOptions(beam=3, nbest=3, ctc_weight=0.2, lm_weight=0.5)
    many, lm = [models.build(kind) for kind in ("transformer", "kdasr")], models.build_lm("transformer").lm
    hs = list(zip(*(models.encode(model, models.features((20, 16, 12))) for model in many), strict=True))

    def search(to, **how):
        rows = [Utterance(n, tuple(to(x) for x in one)) for n, one in enumerate(hs)]
        made = dict(stream.stream(rows, scorers_of(many, options, lm), options, 2, **how))
        return [[hyp.tokens for hyp in made[n].hyps] for n in range(len(hs))]

    here = search(lambda x: x)
    with pretend_gpu() as gpu:
        for model in (*many, lm):
            model.to("cuda:0")
        assert search(lambda x: x.to("cuda:0"), graphs=True) == here == search(lambda x: x.to("cuda:0"))
        assert gpu.graphs == 1


ENCODERS = {
    **{kind: (kind, None) for kind in ("location_lstm", "transformer", "conformer", "e_branchformer", "kdasr")},
    "vgg": ("location_lstm", VGG),
    "munim": ("kdasr", MUNIM),
    "cmvn": ("kdasr", {"normalize": "utterance_mvn"}),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_batch_is_encoded_with_few_waits(name):
    kind, changes = ENCODERS[name]
    model = models.build(kind, changes=changes)
    inputs = models.features((40, 33, 28), (changes or {}).get("input_size", 8))
    here = Encoder(model, "cpu").encode(inputs)
    with pretend_gpu() as gpu:
        encoder = Encoder(model.to("cuda:0"), "cuda:0")
        there = [x.to("cuda:0") for x in inputs]
        made = encoder.encode(there)
        assert encoder.batches
        with gpu.seen() as few:
            encoder.encode(there[:2])
        with gpu.seen() as many:
            encoder.encode(there)
        for one, other in zip(made, here, strict=True):
            torch.testing.assert_close(one.cpu(), other, rtol=1e-4, atol=1e-5)
    assert few.ours() == many.ours() <= 5, few.table() + many.table()
    assert len(many.reads) <= 2, many.table()


def records(out):
    return [json.loads(line) for path in sorted(out.glob("nbest.*.jsonl")) for line in path.read_text().splitlines()]


def test_kdasr_nbest_on_a_gpu(tmp_path):
    """The whole program, from files to files."""
    root, *_ = write_place(tmp_path)
    assert nbest(root, root / "here", "--beam", 3, "--nbest", 3) == 0
    engine.loaded.cache_clear()
    with pretend_gpu() as gpu:
        assert nbest(root, root / "there", "--beam", 3, "--nbest", 3, "--ngpu", 1, "--graphs") == 0
        assert gpu.graphs > 0
    engine.loaded.cache_clear()
    here, there = records(root / "here"), records(root / "there")
    assert [one["id"] for one in here] == [one["id"] for one in there] and len(here) == 7
    for one, other in zip(here, there, strict=True):
        assert [hyp["tokens"] for hyp in one["hyps"]] == [hyp["tokens"] for hyp in other["hyps"]]
        scores = [[hyp["score"] for hyp in record["hyps"]] for record in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_graphs_are_refused_where_there_can_be_none(tmp_path, capsys):
    root, *_ = write_place(tmp_path)
    assert nbest(root, root / "out", "--graphs") == 1
    assert "--graphs: is for a GPU; give --ngpu 1, too, or leave it out" in capsys.readouterr().err
    model = models.build("coverage")
    assert not recordable(scorers_of(model, OPTIONS)) and recordable(scorers_of(models.build("dot"), OPTIONS))
    assert not recordable(scorers_of([model, models.build("dot")], OPTIONS))
