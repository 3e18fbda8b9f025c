"""Ensembles: stock ESPnet's search with slow scorers written out here, whatever the company; and `kdasr nbest`."""

from __future__ import annotations

import functools
import pickle

import kaldiio
import numpy as np
import pytest
import search_models as models
import torch
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import examples
from toy_search import recording, spelt, toy_model, toy_scorer

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.files import read_json
from kdasr.models import find_models
from kdasr.nbest import archive
from kdasr.search.ensemble import averaged
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import scorers_of
from kdasr.search.stream import Utterance, stream

NEVER = -1e10
PAIRS = {
    "one kind": ["location_lstm", "location_lstm"],
    "other frame rates": ["location_lstm", "transformer"],
    "batched": ["kdasr", "conformer"],
    "three": ["kdasr", "multi_head_loc", "transformer"],
}


def build(pair):
    return [models.build(kind, seed=seed) for seed, kind in enumerate(PAIRS[pair])]


def encode(networks, inputs):
    """Of each utterance a tuple of the models' encoder outputs (T, E)."""
    return list(zip(*(models.encode(network, inputs) for network in networks), strict=True))


def found(networks, encoded, options, lm=None, slots=3, **how):
    waiting = [Utterance(number, hs) for number, hs in enumerate(encoded)]
    got = dict(stream(waiting, scorers_of(networks, options, lm), options, slots, **how))
    return [got[number] for number in range(len(encoded))]


def mean(logs, log_linear):
    """Of arrays of logs, by the words of the definition."""
    logs = np.stack([np.asarray(log, dtype=np.float64) for log in logs])
    return logs.mean(0) if log_linear else np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))


@torch.no_grad()
def predictions(networks, hs, prefix, log_linear):
    """Averaged log probabilities (L, V) after each token of a prefix that begins with <sos>: whole, no state kept."""
    ys, length = torch.tensor([prefix]), torch.tensor([len(prefix)])
    each = [
        network.decoder(x[None], torch.tensor([len(x)]), ys, length)[0][0].double().log_softmax(1)
        for network, x in zip(networks, hs, strict=True)
    ]
    return mean(each, log_linear)


def prefix_probability(logp, prefix, whole):
    """Log probability (T, V) of all paths that spell what begins with `prefix`, or exactly it: frame by frame."""
    blank = np.concatenate([[0.0], np.cumsum(logp[:, 0])])  # (T + 1,) the empty prefix
    nonblank, last, score = np.full(len(blank), NEVER), None, 0.0
    for token in prefix:
        phi = blank if token == last else np.logaddexp(blank, nonblank)
        score, n, b = NEVER, np.full(len(blank), NEVER), np.full(len(blank), NEVER)
        for t in range(len(logp)):
            score = np.logaddexp(score, phi[t] + logp[t, token])
            n[t + 1] = np.logaddexp(n[t], phi[t]) + logp[t, token]
            b[t + 1] = np.logaddexp(b[t], n[t]) + logp[t, 0]
        blank, nonblank, last = b, n, token
    return float(np.logaddexp(blank[-1], nonblank[-1])) if whole else float(score)


@torch.no_grad()
def ctc_scorer(networks, hs, log_linear):
    """A function from prefix and whether it is whole to the averaged log probability."""
    logps = [n.ctc.log_softmax(x[None])[0].double().numpy() for n, x in zip(networks, hs, strict=True)]
    return functools.cache(
        lambda prefix, whole: float(mean([prefix_probability(logp, prefix, whole) for logp in logps], log_linear))
    )


@torch.no_grad()
def toy_predictions(networks, hs, prefix, log_linear):
    """As `predictions`, of toys, the last row alone."""
    each = []
    for network, x in zip(networks, hs, strict=True):
        state = network.decoder.init_state(x)
        for token in prefix:
            logp, state = network.decoder.score(torch.tensor([token]), state, x)
        each.append(logp.double())
    return mean(each, log_linear)[None]


def slow(networks, hs, options, lm=None, predictions=predictions):
    """Stock ESPnet's search of one utterance, with scorers that begin anew with every prefix."""
    return slow_search(networks, hs, options, lm, predictions)[1][: options.nbest]


def slow_search(networks, hs, options, lm, predictions):
    """The search after that, and all that it found."""
    interfaces = [name(f"espnet.nets.scorer_interface:{part}ScorerInterface") for part in ("", "Partial")]
    whole, eos = ctc_scorer(networks, hs, options.log_linear), networks[0].eos

    class Decoder(interfaces[0]):
        def score(self, y, state, x):
            return torch.from_numpy(predictions(networks, hs, y.tolist(), options.log_linear)[-1]).float(), None

    class Ctc(interfaces[1]):
        def score_partial(self, y, next_tokens, state, x):
            prefix, added = tuple(y.tolist()[1:]), []
            before = whole(prefix, False)
            for token in next_tokens.tolist():
                after = whole(prefix, True) if token == eos else whole((*prefix, token), False)
                added.append(NEVER if token == 0 else after - before)
            return torch.tensor(added), None

    weights = {"decoder": 1 - options.ctc_weight, "ctc": options.ctc_weight, "lm": options.lm_weight}
    beam = recording("beam_search:BeamSearch")(
        beam_size=options.beam,
        weights=weights,
        scorers={"decoder": Decoder(), "ctc": Ctc(), "lm": lm},
        sos=networks[0].sos,
        eos=eos,
        vocab_size=len(networks[0].token_list),
        pre_beam_score_key=None if options.ctc_weight == 1.0 else "full",
    ).eval()
    with torch.no_grad():
        return beam, [hyp.asdict() for hyp in beam(hs[0], options.maxlenratio, options.minlenratio)]


def assert_slow(networks, lengths, options, lm=None):
    encoded = encode(networks, models.features(lengths))
    for mine, hs in zip(found(networks, encoded, options, lm), encoded, strict=True):
        theirs = [hyp for hyp in slow(networks, hs, options, lm) if hyp["score"] > -1e8]
        ours = [hyp for hyp in mine.hyps if hyp.score > -1e8]
        assert theirs
        tokens = [hyp["yseq"][1:-1] for hyp in theirs]
        assert [hyp.tokens for hyp in ours] == [t[:-1] if t and t[-1] == networks[0].eos else t for t in tokens]
        for one, hyp in zip(ours, theirs, strict=True):
            assert one.score == pytest.approx(hyp["score"], abs=1e-3)
            assert one.scores == pytest.approx(hyp["scores"], abs=1e-3)


@pytest.mark.parametrize("log_linear", [False, True])
@pytest.mark.parametrize("pair", PAIRS)
def test_equals_the_slow_computation(pair, log_linear):
    # With all tokens in the pre-beam, it does not matter whether ESPnet would score <eos> outside of it.
    beam, lengths = (12, [17]) if pair == "batched" else (4, [22, 17])
    assert_slow(build(pair), lengths, SearchOptions(beam=beam, nbest=4, log_linear=log_linear))


@pytest.mark.parametrize(
    "options",
    [
        SearchOptions(beam=4, ctc_weight=0.0),
        SearchOptions(beam=3, ctc_weight=1.0),
        SearchOptions(beam=3, lm_weight=0.5),
    ],
    ids=["attention", "ctc", "lm"],
)
def test_equals_the_slow_computation_with_other_weights(options):
    lm = models.build_lm("gru").lm if options.lm_weight else None
    assert_slow(build("other frame rates"), [22, 17], options, lm)


@examples(25)
@given(
    lengths=st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=3), min_size=1, max_size=3),
    count=st.integers(1, 3),
    vocab=st.integers(4, 6),
    seed=st.integers(0, 1000),
    slots=st.integers(1, 2),
    beam=st.integers(1, 3),
    ctc_weight=st.sampled_from([0.0, 0.3, 0.6, 1.0]),
    maxlenratio=st.sampled_from([0.0, 0.0, 0.7, -1]),
    log_linear=st.booleans(),
)
def test_any_ensemble_equals_the_slow_computation(lengths, count, vocab, seed, slots, **options):
    """Models of any frame rates: who is the longest for one model need not be so for another."""
    toys = [toy_model(vocab, toy_scorer(False, vocab, vocab, 3, seed + m, 3.0, 1.0)) for m in range(count)]
    generator, options = torch.Generator().manual_seed(seed), SearchOptions(nbest=9, **options)
    encoded = [tuple(2 * torch.randn(n, vocab, generator=generator) for n in each[:count]) for each in lengths]
    for mine, hs in zip(found(toys, encoded, options, slots=slots), encoded, strict=True):
        search, theirs = slow_search(toys, hs, options, None, toy_predictions)
        assume(search.nearest > 1e-4)
        if search.impossible:  # more tokens than one of the models has frames
            continue
        assert (mine.stop, mine.steps) == (search.stop, search.steps)
        assert [hyp.tokens for hyp in mine.hyps] == [spelt(hyp["yseq"], vocab - 1) for hyp in theirs[:9]]
        for one, hyp in zip(mine.hyps, theirs, strict=False):
            assert one.score == pytest.approx(hyp["score"], abs=2e-4, rel=1e-5)
            assert one.scores == pytest.approx(hyp["scores"], abs=2e-4, rel=1e-5)


def test_models_of_different_frame_rates_are_among_these():
    """And an ensemble finds what neither of its models finds, or the comparisons would say little."""
    networks, options = build("other frame rates"), SearchOptions(beam=4)
    encoded = encode(networks, models.features([26, 19]))
    assert all(len(a) != len(b) for a, b in encoded)
    together = [one.hyps[0].tokens for one in found(networks, encoded, options)]
    for number, network in enumerate(networks):
        alone = found([network], [(hs[number],) for hs in encoded], options)
        assert [one.hyps[0].tokens for one in alone] != together
    other = found(networks, encoded, SearchOptions(beam=4, log_linear=True))
    assert [one.hyps[0].score for one in other] != pytest.approx([one.score for one in together_scores(networks)])


def together_scores(networks):
    encoded = encode(networks, models.features([26, 19]))
    return [one.hyps[0] for one in found(networks, encoded, SearchOptions(beam=4))]


@pytest.mark.parametrize("log_linear", [False, True])
@pytest.mark.parametrize("kind", ["location_lstm", "transformer", "kdasr", "multi_head_loc"])
def test_a_model_twice_is_the_model(kind, log_linear):
    network = models.build(kind)
    encoded = encode([network], models.features([24, 9, 19]))
    for ctc_weight in (0.0, 0.3, 1.0):
        options = SearchOptions(beam=4, ctc_weight=ctc_weight, log_linear=log_linear)
        alone = found([network], encoded, options)
        for one, other in zip(found([network] * 2, [hs * 2 for hs in encoded], options), alone, strict=True):
            assert (one.stop, one.steps) == (other.stop, other.steps)
            assert [(h.tokens, h.ended) for h in one.hyps] == [(h.tokens, h.ended) for h in other.hyps]
            for x, y in zip(one.hyps, other.hyps, strict=True):
                if ctc_weight < 1.0:
                    assert x.scores["decoder"] == y.scores["decoder"]
                assert x.scores == pytest.approx(y.scores, rel=1e-12)


def test_mean_of_equal_distributions_is_exact_and_of_impossible_tokens_impossible():
    one = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    one[3, 2] = -float("inf")
    assert torch.equal(averaged([one, one, one], False), one)
    assert torch.equal(averaged([one, one], True), one)
    low = torch.tensor([-200.0, 0.0])
    assert averaged([low, torch.zeros(2)], False).tolist() == pytest.approx([-np.log(2.0), 0.0])
    assert averaged([low, low - 1], False).tolist() == pytest.approx(
        [-200 + np.log((1 + np.exp(-1)) / 2), np.log((1 + np.exp(-1)) / 2)]
    )


@pytest.mark.parametrize(("pair", "refill"), [(pair, True) for pair in PAIRS] + [("other frame rates", False)])
def test_company_changes_nothing(pair, refill):
    networks, options = build(pair), SearchOptions(beam=3, nbest=3, lm_weight=0.3)
    lm = models.build_lm("sinusoidal").lm
    encoded = encode(networks, models.features([27, 24, 22, 19, 15]))
    alone = found(networks, encoded, options, lm, slots=1)
    assert len({one.steps for one in alone}) > 2  # or nobody ever leaves before the others
    for one, other in zip(found(networks, encoded, options, lm, slots=3, refill=refill), alone, strict=True):
        assert (one.stop, one.steps) == (other.stop, other.steps)
        assert [(h.tokens, h.ended) for h in one.hyps] == [(h.tokens, h.ended) for h in other.hyps]
        for x, y in zip(one.hyps, other.hyps, strict=True):
            assert x.scores == pytest.approx(y.scores, abs=1e-4)


@pytest.mark.parametrize("token", ["sos", "eos", "blank_id"])
def test_other_special_tokens_are_refused(token):
    networks = build("one kind")
    setattr(networks[1], token, 3)
    with pytest.raises(UserError, match="differ in their <sos>, <eos> or blank"):
        scorers_of(networks, SearchOptions())


def test_all_models_need_what_is_weighed():
    networks = build("one kind")
    networks[1].ctc = None
    with pytest.raises(UserError, match=r"--ctc_weight 0.3: the model has no CTC layer"):
        scorers_of(networks, SearchOptions())
    assert [one.name for one in scorers_of(networks, SearchOptions(ctc_weight=0.0)).full] == ["decoder"]
    networks[1].decoder = None
    with pytest.raises(UserError, match=r"no attention decoder; give --ctc_weight 1"):
        scorers_of(networks, SearchOptions(ctc_weight=0.0))


# Through the command line


def write_model(directory, kind, seed=0, **changes):
    """A model directory as ESPnet's trainer leaves it."""
    directory.mkdir(parents=True)
    model = models.build(kind, seed=seed)
    torch.save(model.state_dict(), directory / "valid.acc.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump({**models.config(kind), **changes}))
    return model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two models, and a data directory with an utterance that is too short for the second."""
    root = tmp_path_factory.mktemp("ensemble")
    networks = [write_model(root / "a", "location_lstm"), write_model(root / "b", "conformer", seed=1)]
    inputs = models.features([26, 19, 5])
    matrices = {f"utt{i}": x.numpy() for i, x in enumerate(inputs)}
    (root / "data").mkdir()
    kaldiio.save_ark(str(root / "data" / "feats.ark"), matrices, scp=str(root / "data" / "feats.scp"))
    return root, networks, inputs


def call(command, root, out, directories, *more):
    words = [command, "--model", *directories, "--data", root / "data", "--out", out, "--beam", 4, *more]
    return main([str(word) for word in words])


def test_nbest_of_two_models(place, tmp_path):
    root, networks, inputs = place
    out = tmp_path / "out"
    assert call("nbest", root, out, [root / "a", root / "b"]) == 0
    *records, short = archive.read_nbest(out)
    encoded = encode(networks, inputs[:2])
    for record, hs in zip(records, encoded, strict=True):
        theirs = slow(networks, hs, SearchOptions(beam=4))[0]
        best = record["hyps"][0]
        assert best["tokens"] == [token for token in theirs["yseq"][1:-1] if token not in (0, networks[0].eos)]
        assert best["scores"] == pytest.approx(theirs["scores"], abs=1e-3)
    assert short["stop"] == "too short"  # for one of the two
    manifest = read_json(out / "manifest.json")
    assert [len(part) for part in manifest["model"].split("+")] == [16, 16]
    assert manifest["search"]["log_linear"] is False
    assert call("nbest", root, out, [root / "a", root / "b"], "--log_linear") == 1  # other settings
    assert call("nbest", root, out, [root / "a"]) == 1


def test_nbest_of_a_model_twice_is_that_of_the_model(place, tmp_path):
    root = place[0]
    assert call("nbest", root, tmp_path / "once", [root / "b"]) == 0
    assert call("nbest", root, tmp_path / "twice", [root / "b", root / "b"]) == 0
    once, twice = (archive.shard_path(tmp_path / out, 0).read_bytes() for out in ("once", "twice"))
    assert once == twice


def test_decode_of_two_models(place, tmp_path):
    root, networks, inputs = place
    out = tmp_path / "out"
    assert call("decode", root, out, [root / "b", root / "a"], "--log_linear", "--ctc_weight", 0) == 0
    best = found(networks[::-1], encode(networks[::-1], inputs[:1]), SearchOptions(4, 1, 0.0, log_linear=True))[0]
    tokens = [models.TOKENS[token] for token in best.hyps[0].tokens if token != 0]
    assert (out / "token").read_text().splitlines()[0].split() == ["utt0", *tokens]
    assert read_json(out / "decode.json")["model"].count("+") == 1


def test_models_that_decode_together_are_named_by_value(place):
    """So that a process which gets them for each shard knows that it has loaded them."""
    root = place[0]
    together = find_models([str(root / "a"), str(root / "b")], None)
    again = pickle.loads(pickle.dumps(together))
    assert again == together
    assert hash(again) == hash(together)
    assert together != find_models([str(root / "b"), str(root / "a")], None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_size": 7}, "takes 8 bins a frame, {other} takes 7 bins a frame; an ensemble needs models of the same"),
        ({"input_size": None}, "takes 8 bins a frame, {other} takes audio of 16000 Hz; an ensemble needs models of"),
        ({"token_list": models.TOKENS[::-1]}, "token 0 is '<sos/eos>', not '<blank>'"),
        ({"token_list": models.TOKENS[1:]}, "its token list is not that of {first} (17 tokens, not 18)"),
    ],
)
def test_models_that_do_not_go_together_are_named(place, tmp_path, capsys, changes, words):
    root, other = place[0], tmp_path / "other"
    write_model(other, "kdasr", **changes)
    assert call("nbest", root, tmp_path / "out", [root / "a", other]) == 1
    said = capsys.readouterr().err
    assert words.format(other=other, first=root / "a") in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_log_linear_needs_several_models(place, tmp_path, capsys):
    root = place[0]
    assert call("nbest", root, tmp_path / "out", [root / "a"], "--log_linear") == 1
    assert "there is one model, and nothing to average" in capsys.readouterr().err
