"""Shallow fusion with language models: stock ESPnet's N-best, whatever the company; and through `kdasr nbest`."""

from __future__ import annotations

import kaldiio
import pytest
import search_models as models
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.cli import main
from kdasr.espnet import name
from kdasr.files import read_json
from kdasr.nbest import archive
from kdasr.networks.load import load_lm
from kdasr.search import stream as streams
from kdasr.search.lms import RnnLmScorer
from kdasr.search.one_by_one import OneByOne
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import decoder_scorer, lm_scorer, scorers_of
from kdasr.search.stream import Utterance, stream
from kdasr.search.transformers import TransformerLmScorer

LENGTHS = [29, 21]
OPTIONS = {
    "default": SearchOptions(lm_weight=0.4),
    "without ctc": SearchOptions(ctc_weight=0.0, lm_weight=0.7, beam=4, maxlenratio=0.6),
    "without decoder": SearchOptions(ctc_weight=1.0, lm_weight=0.5, beam=4),
    "penalty": SearchOptions(beam=3, penalty=0.6, nbest=6, lm_weight=1.0, minlenratio=0.2),
    "negative": SearchOptions(lm_weight=-0.2, beam=4, normalize_length=True),
}


def found(model, lm, encoded, options, order=None, slots=3, **how):
    order = range(len(encoded)) if order is None else order
    waiting = [Utterance(number, (encoded[number],)) for number in order]
    got = dict(stream(waiting, scorers_of(model, options, lm), options, slots, **how))
    return [got[number] for number in sorted(got)]


def without_double_end(yseq, eos):
    """ESPnet's token ids; at the last step it appends <eos> to what ends in <eos> already."""
    tokens = yseq[1:-1]
    return tokens[:-1] if tokens and tokens[-1] == eos else tokens


def assert_stock(model, lm, lengths, options):
    encoded = models.encode(model, models.features(lengths))
    for mine, x in zip(found(model, lm, encoded, options), encoded, strict=True):
        theirs = models.stock(model, x, options, lm)
        assert [hyp.tokens for hyp in mine.hyps] == [without_double_end(hyp["yseq"], model.eos) for hyp in theirs]
        for ours, hyp in zip(mine.hyps, theirs, strict=True):
            assert ours.score == pytest.approx(hyp["score"], abs=1e-3)
            assert ours.scores == pytest.approx(hyp["scores"], abs=1e-3)
            assert "lm" in ours.scores


@pytest.mark.parametrize("lm", ["lstm", "gru", "tanh", "transformer", "sinusoidal", "awd"])
@pytest.mark.parametrize("kind", ["location_lstm", "transformer", "kdasr"])
def test_fusion_equals_stock_espnet(kind, lm):
    assert_stock(models.build(kind), models.build_lm(lm).lm, LENGTHS, OPTIONS["default"])


@pytest.mark.parametrize("which", [which for which in OPTIONS if which != "default"])
@pytest.mark.parametrize(("kind", "lm"), [("location_lstm", "lstm"), ("transformer", "sinusoidal")])
def test_fusion_with_other_options_equals_stock_espnet(kind, lm, which):
    assert_stock(models.build(kind), models.build_lm(lm).lm, LENGTHS, OPTIONS[which])


@pytest.mark.parametrize("lm", ["gru", "transformer"])
def test_fusion_changes_what_is_found(lm):
    """Or the comparisons above would say little."""
    model, network = models.build("kdasr"), models.build_lm(lm).lm
    encoded = models.encode(model, models.features(LENGTHS))
    with_lm = found(model, network, encoded, OPTIONS["default"])
    without = found(model, network, encoded, SearchOptions(lm_weight=0.0))
    assert "lm" not in without[0].hyps[0].scores
    assert [a.hyps[0].tokens for a in with_lm] != [b.hyps[0].tokens for b in without]


class Plain:
    """A language model that ESPnet would not batch: a score for each token, whatever came before."""

    def init_state(self, x):
        return None

    def score(self, y, state, x):
        return torch.linspace(-1, -3, len(models.TOKENS)).roll(int(y[-1])), None


def test_end_token_is_scored_always_only_if_espnet_batches_all_full_scorers():
    rnn, batched = models.build("location_lstm"), models.build("transformer")
    lm, options = models.build_lm("gru").lm, SearchOptions(lm_weight=0.5)
    assert scorers_of(batched, options, lm).eos_always
    assert not scorers_of(rnn, options, lm).eos_always
    assert not scorers_of(batched, options, Plain()).eos_always
    assert scorers_of(rnn, SearchOptions(ctc_weight=1.0, lm_weight=0.5), lm).eos_always


def test_lm_that_espnet_does_not_batch_equals_stock_espnet():
    plain = type("PlainScorer", (Plain, name("espnet.nets.scorer_interface:ScorerInterface")), {})
    assert_stock(models.build("transformer"), plain(), [24, 17], SearchOptions(lm_weight=0.5, beam=3))


def test_which_scorer_a_language_model_gets():
    assert isinstance(lm_scorer(models.build_lm("gru").lm)[0].step.__self__, RnnLmScorer)
    assert isinstance(lm_scorer(models.build_lm("sinusoidal").lm)[0], TransformerLmScorer)
    assert isinstance(lm_scorer(Plain())[0], OneByOne)
    own = RnnLmScorer(models.build_lm("lstm").lm)  # has remember, start and step
    assert lm_scorer(own)[0].step.__self__ is own
    assert decoder_scorer(models.build("kdasr"))[1] is True


@pytest.mark.parametrize("kind", list(models.LMS))
def test_native_scorer_equals_the_fallback_whoever_leaves_or_comes(kind):
    """Tokens with a blank among them, which ESPnet's transformer takes for padding."""
    lm = models.build_lm(kind).lm
    hs, lengths = torch.zeros(3, 4, 5), torch.tensor([4, 2, 3])
    parents = torch.tensor([[2, 0, 0], [1, 1, 2], [2, 2, 2]])
    tokens = torch.randint(0, 17, (9, 3, 3), generator=torch.Generator().manual_seed(0))
    tokens[0] = 17  # <sos>
    tokens[3, 0, 0] = tokens[4, 1, 1] = 0
    outputs = []
    native = lm_scorer(lm)[0]
    assert not isinstance(native, OneByOne)
    with torch.no_grad():
        for scorer in (native, OneByOne(lm)):
            memory = scorer.remember(hs, lengths)
            state, logps = scorer.start(memory, 3), []
            for step in range(5):
                logp, state = scorer.step(tokens[step], state, memory)
                logps.append(logp)
                state = scorer.reorder(state, parents)
            rows = torch.tensor([1])  # a new utterance in the middle, at its step 0
            new = scorer.remember(hs[:1], lengths[:1])
            memory, state = scorer.put(memory, rows, new), scorer.put(state, rows, scorer.start(new, 3))
            for step in range(2):
                now = tokens[5 + step].clone()
                now[1] = tokens[step, 1]
                logp, state = scorer.step(now, state, memory)
                logps.append(logp)
                state = scorer.reorder(state, parents)
            rows = torch.tensor([2, 1])
            memory, state = scorer.keep(memory, rows), scorer.keep(state, rows)
            for step in range(7, 9):
                logp, state = scorer.step(tokens[step][rows], state, memory)
                logps.append(logp)
            outputs.append(torch.cat([logp.flatten() for logp in logps]))
    assert torch.allclose(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("look", "refill"), [(1, True), (5, True), (1, False)])
@pytest.mark.parametrize(("kind", "lm"), [("location_lstm", "sinusoidal"), ("conformer", "lstm"), ("kdasr", "gru")])
def test_company_changes_nothing(kind, lm, look, refill, monkeypatch):
    model, network = models.build(kind), models.build_lm(lm).lm
    encoded = models.encode(model, models.features([27, 24, 22, 19, 12]))
    options = SearchOptions(beam=3, nbest=3, lm_weight=0.4)
    alone = found(model, network, encoded, options, slots=1)
    assert len({one.steps for one in alone}) > 2  # or nobody ever leaves before the others
    monkeypatch.setattr(streams, "LOOK_CPU", look)
    same(found(model, network, encoded, options, slots=3, refill=refill), alone)


@examples(8)
@given(
    data=st.data(),
    kind=st.sampled_from(["location_lstm", "transformer", "kdasr"]),
    lm=st.sampled_from(list(models.LMS)),
    beam=st.integers(1, 5),
    ctc_weight=st.sampled_from([0.0, 0.3, 1.0]),
    lm_weight=st.floats(-0.3, 1.5),
)
def test_any_company_any_options(data, kind, lm, **options):
    seed = data.draw(st.integers(0, 3), label="seed")
    model, network = models.build(kind, seed=seed), models.build_lm(lm, seed=seed).lm
    lengths = data.draw(st.lists(st.integers(8, 28), min_size=2, max_size=4), label="lengths")
    order = data.draw(st.permutations(range(len(lengths))), label="order")
    encoded = models.encode(model, models.features(lengths))
    options = SearchOptions(nbest=3, **options)
    same(found(model, network, encoded, options, order, slots=2), found(model, network, encoded, options, slots=1))


def same(one, other):
    for a, b in zip(one, other, strict=True):
        assert (a.stop, a.steps) == (b.stop, b.steps)
        assert [(h.tokens, h.ended) for h in a.hyps] == [(h.tokens, h.ended) for h in b.hyps]
        for x, y in zip(a.hyps, b.hyps, strict=True):
            assert x.score == pytest.approx(y.score, abs=1e-4)
            assert x.scores == pytest.approx(y.scores, abs=1e-4)


# Through the command line


def write_lm(directory, kind="transformer", **changes):
    """A language model directory as ESPnet's trainer leaves it."""
    directory.mkdir(parents=True)
    model = models.build_lm(kind)
    torch.save(model.state_dict(), directory / "valid.loss.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump({**models.lm_config(kind), **changes}))
    return model.lm


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("lms")
    model, lm = models.build("kdasr"), write_lm(root / "lm")
    (root / "model").mkdir()
    torch.save(model.state_dict(), root / "model" / "valid.acc.ave.pth")
    (root / "model" / "config.yaml").write_text(yaml.safe_dump(models.config("kdasr")))
    (root / "data").mkdir()
    inputs = models.features([30, 24, 9])
    matrices = {f"utt{i}": x.numpy() for i, x in enumerate(inputs)}
    kaldiio.save_ark(str(root / "data" / "feats.ark"), matrices, scp=str(root / "data" / "feats.scp"))
    return root, model, lm, models.encode(model, inputs)


def call(command, root, out, *more):
    words = [command, "--model", root / "model", "--data", root / "data", "--out", out, "--beam", 4, *more]
    return main([str(word) for word in words])


def test_nbest_with_a_language_model(place, tmp_path, capsys):
    root, model, lm, encoded = place
    out = tmp_path / "out"
    assert call("nbest", root, out, "--lm", root / "lm", "--lm_weight", 0.6) == 0
    options = SearchOptions(beam=4, lm_weight=0.6)
    for record, x in zip(archive.read_nbest(out), encoded, strict=True):
        theirs = models.stock(model, x, options, lm)
        best = record["hyps"][0]
        assert best["tokens"] == [token for token in theirs[0]["yseq"][1:-1] if token not in (0, model.eos)]
        assert best["scores"] == pytest.approx(theirs[0]["scores"], abs=1e-3)
        weighted = 0.7 * best["scores"]["decoder"] + 0.3 * best["scores"]["ctc"] + 0.6 * best["scores"]["lm"]
        assert best["score"] == pytest.approx(weighted, abs=1e-3)
    manifest = read_json(out / "manifest.json")
    assert manifest["search"]["lm_weight"] == 0.6
    assert len(manifest["lm"]) == len(manifest["lm_config"]) == 16
    capsys.readouterr()
    assert call("nbest", root, out, "--lm", root / "lm", "--lm_weight", 0.5) == 1
    assert "made with other settings (search was" in capsys.readouterr().err
    assert call("nbest", root, out) == 1
    assert "lm was" in capsys.readouterr().err


def test_nbest_with_a_language_model_of_ours(place, tmp_path, capsys):
    """`kdasr lm train` over the recogniser's characters, against ESPnet's search with the network that it made."""
    root, model, _, encoded = place
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens/tokens.txt").write_text("".join(f"{token}\n" for token in models.TOKENS))
    (tmp_path / "tokens/nlsyms.txt").write_text("")
    (tmp_path / "tokens/tokens.json").write_text('{"type": "char"}')
    (tmp_path / "text").write_text("abc abd\nbad cab\nfed deaf face\n" * 20)
    text, words, out = (str(tmp_path / name) for name in ("text", "tokens", "lm"))
    sets = ["embed=6", "hidden=12", "last=8", "layers=2", "experts=2", "streams=4", "steps=10", "epochs=3"]
    files = ["--train", text, "--valid", text, "--words", words, "--out", out]
    assert main(["lm", "train", *files, "--set", *sets]) == 0
    assert call("nbest", root, tmp_path / "nbest", "--lm", out, "--lm_weight", 0.8) == 0
    lm, options = load_lm(out)[0], SearchOptions(beam=4, lm_weight=0.8)
    for record, x in zip(archive.read_nbest(tmp_path / "nbest"), encoded, strict=True):
        theirs, best = models.stock(model, x, options, lm)[0], record["hyps"][0]
        assert best["tokens"] == [token for token in theirs["yseq"][1:-1] if token not in (0, model.eos)]
        assert best["scores"] == pytest.approx(theirs["scores"], abs=1e-3)
    # a model of words is for rescoring: its vocabulary is no token list
    (tmp_path / "words.txt").write_text("a word\nor two\n")
    assert main(["lm", "words", "--text", str(tmp_path / "words.txt"), "--out", str(tmp_path / "words")]) == 0
    files = f"--train {tmp_path}/words.txt --valid {tmp_path}/words.txt --words {tmp_path}/words --out {tmp_path}/lm2"
    assert main(["lm", "train", *files.split(), "--set", *sets[:-3], "streams=1", "steps=5", "epochs=1"]) == 0
    capsys.readouterr()
    assert call("nbest", root, tmp_path / "nbest2", "--lm", tmp_path / "lm2") == 1
    assert "its token list is not that of" in capsys.readouterr().err


def test_decode_records_the_language_model(place, tmp_path):
    root = place[0]
    assert call("decode", root, tmp_path / "out", "--lm", root / "lm") == 0
    result = read_json(tmp_path / "out" / "decode.json")
    assert result["options"]["lm_weight"] == 0.3
    assert len(result["lm"]) == 16


def test_lm_directory_is_found_and_loaded_whole(place, tmp_path):
    root, _, lm, _ = place
    loaded, args = load_lm(root / "lm")
    assert args.lm == "transformer"
    assert not loaded.training
    for key, value in lm.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    # the token list as a file beside a config that was moved
    write_lm(tmp_path / "lm", token_list="/gone/tokens.txt")
    (tmp_path / "lm" / "tokens.txt").write_text("\n".join(models.TOKENS) + "\n")
    assert load_lm(tmp_path / "lm")[1].token_list == models.TOKENS


def damage(directory, how):
    """A language model directory with something wrong."""
    checkpoint = directory / "valid.loss.ave.pth"
    write_lm(directory, token_list=["<blank>", "<unk>", "b", *models.TOKENS[3:]] if how == "tokens" else models.TOKENS)
    if how == "no checkpoint":
        checkpoint.unlink()
    elif how == "no config":
        (directory / "config.yaml").unlink()
    elif how == "an ASR model":
        (directory / "config.yaml").write_text(yaml.safe_dump(models.config("kdasr")))
    elif how == "missing weight":
        weights = torch.load(checkpoint, weights_only=True)
        del weights["lm.decoder.bias"]
        torch.save(weights, checkpoint)
    elif how == "cut short":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    elif how == "fewer tokens":
        (directory / "config.yaml").write_text(
            yaml.safe_dump({**models.lm_config("transformer"), "token_list": models.TOKENS[:-1]})
        )


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("tokens", "its token list is not that of"),
        ("tokens", "token 2 is 'b', not '<space>'"),
        ("fewer tokens", "17 tokens, not 18"),
        ("no checkpoint", "none of valid.loss.ave.pth, valid.loss.best.pth is there; train the model first"),
        ("no config", "no such file; "),
        ("an ASR model", "is not the config of an ESPnet2 language model"),
        ("missing weight", "lacks lm.decoder.bias"),
        ("cut short", "is no checkpoint, or is damaged"),
    ],
)
def test_bad_language_models_are_named(place, tmp_path, capsys, how, words):
    damage(tmp_path / "lm", how)
    assert call("nbest", place[0], tmp_path / "out", "--lm", tmp_path / "lm") == 1
    said = capsys.readouterr().err
    assert words in said
    assert str(tmp_path / "lm") in said
    assert len(said.strip().splitlines()) == 1
    if "token" in how:
        assert str(place[0] / "model") in said
    assert not list((tmp_path / "out").glob("nbest.*"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--lm_weight", "0.3"], "there is no language model to use them for; give --lm DIR"),
        (["--lm_file", "x.pth"], "there is no language model to use them for; give --lm DIR"),
        (["--lm", "LM", "--lm_weight", "nan"], "--lm_weight nan: expected a finite number"),
        (["--lm", "LM", "--lm_file", "x.pth"], "none of x.pth is there"),
    ],
)
def test_bad_options_are_named(place, tmp_path, capsys, more, words):
    more = [str(place[0] / "lm") if word == "LM" else word for word in more]
    assert call("nbest", place[0], tmp_path / "out", *more) == 1
    assert words in capsys.readouterr().err
