"""Our search of translation models against stock espnet2.bin.mt_inference."""

import json

import pytest
import torch
from mt_models import MODELS, SOURCE, build, draw, write_data, write_model

from kdasr.cli import main
from kdasr.data.source_text import source_tokens
from kdasr.espnet import name
from kdasr.models import find_models
from kdasr.search.encode import Encoder
from kdasr.search.engine import Engine
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import read_rows

SENTENCES = draw(14)
SEARCHES = [
    SearchOptions(beam=4, nbest=4, ctc_weight=0.0),
    SearchOptions(beam=1, nbest=1, ctc_weight=0.0, maxlenratio=1.5),
    SearchOptions(
        beam=3, nbest=3, ctc_weight=0.0, maxlenratio=2.0, minlenratio=0.5, penalty=0.3, normalize_length=True
    ),
]


@pytest.fixture(scope="module", params=MODELS)
def place(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    write_data(root / "data", SENTENCES)
    return write_model(root / "model", request.param)


def stock(directory, options):
    """Stock ESPnet's hypotheses of each sentence, text and score; of equal texts the first."""
    inference = name("espnet2.bin.mt_inference:Text2Text")(
        str(directory / "config.yaml"),
        str(directory / "valid.acc.ave.pth"),
        beam_size=options.beam,
        nbest=options.nbest,
        ctc_weight=0.0,
        penalty=options.penalty,
        maxlenratio=options.maxlenratio,
        minlenratio=options.minlenratio,
        normalize_length=options.normalize_length,
    )
    found = {}
    for key, (source, _) in SENTENCES.items():
        ids = torch.tensor([SOURCE.index(letter) if letter in SOURCE else 1 for letter in source])
        each = {}
        for text, _, _, hyp in inference(ids):
            each.setdefault(text, float(hyp.score))
        found[key] = list(each.items())
    return found


@pytest.mark.parametrize("options", SEARCHES, ids=["beam", "greedy", "bounded"])
def test_a_batch_gives_what_mt_inference_gives(place, options):
    models = find_models([str(place)], None)
    rows = read_rows(place.parent / "data", models.first)
    assert [row.name for row in rows] == list(SENTENCES)
    engine = Engine(models, options, Computing(4000))
    records = {record["id"]: record for record in engine.decode(rows)}
    expected = stock(place, options)
    lengths = set()
    for key, hyps in expected.items():
        own = [(hyp["text"], hyp["score"]) for hyp in records[key]["hyps"]]
        assert [text for text, _ in own] == [text for text, _ in hyps], key
        assert [score for _, score in own] == pytest.approx([score for _, score in hyps], abs=2e-4), key
        assert records[key]["frames"] == len(SENTENCES[key][0])
        lengths |= {len(text) for text, _ in hyps}
    assert options.beam == 1 or len(lengths) > 2, "these models end everywhere alike, and show little"
    alone = [next(iter(engine.decode([row]))) for row in rows[:5]]
    for one in alone:
        assert [hyp["tokens"] for hyp in one["hyps"]] == [hyp["tokens"] for hyp in records[one["id"]]["hyps"]]


@pytest.mark.parametrize("kind", MODELS)
def test_sentences_together_are_encoded_as_alone(kind):
    model = build(kind)
    inputs = [torch.randint(2, 10, (length,)) for length in (9, 1, 4, 9)]
    encoder = Encoder(model, "cpu")
    assert encoder.batches
    together = encoder.encode(inputs)
    for x, hs in zip(inputs, together, strict=True):
        alone, _ = model.encode(x[None], torch.tensor([len(x)]))
        assert hs.shape == alone[0].shape == (len(x) + 1, 8)  # <sos> stands before the sentence
        torch.testing.assert_close(hs, alone[0], rtol=1e-4, atol=1e-5)
    assert encoder.batches, "a plan that is not exact was dropped"


def test_commands_take_text_where_they_take_speech(tmp_path, capsys):
    """nbest, decode, ppl: ctc_weight is 0 by itself, and an ensemble is one, too."""
    write_data(tmp_path / "data", SENTENCES)
    one, other = write_model(tmp_path / "one", "own_luong"), write_model(tmp_path / "other", "rnn_transformer", 1)
    given = ["--data", str(tmp_path / "data"), "--out"]
    assert main(["nbest", "--model", str(one), *given, str(tmp_path / "nbest"), "--check_single", "5"]) == 0
    assert json.loads((tmp_path / "nbest/manifest.json").read_text())["search"]["ctc_weight"] == 0.0
    told = sum(len(source) for source, _ in SENTENCES.values())
    assert f"  source      {told} tokens in " in capsys.readouterr().out
    assert json.loads((tmp_path / "nbest/summary.json").read_text())["source_tokens"] == told
    assert main(["decode", "--model", str(one), str(other), *given, str(tmp_path / "decode"), "--beam", "2"]) == 0
    assert len((tmp_path / "decode/text").read_text().splitlines()) == len(SENTENCES)
    assert json.loads((tmp_path / "decode/decode.json").read_text())["source_tokens"] == told
    assert f" {len(SENTENCES)} utterances, {told} source tokens in " in capsys.readouterr().out
    assert main(["ppl", "--model", str(one), *given, str(tmp_path / "ppl.json")]) == 0
    measured = json.loads((tmp_path / "ppl.json").read_text())
    model = build("own_luong")
    nll = 0.0
    for source, target in SENTENCES.values():
        src = torch.tensor([[SOURCE.index(letter) if letter in SOURCE else 1 for letter in source]])
        text = torch.tensor([["STUVWXYZ".index(letter) + 2 for letter in target]])
        nll += float(model(text, torch.tensor([len(target)]), src, torch.tensor([len(source)]))[0].detach())
    assert measured["nll"] == pytest.approx(nll, rel=1e-4)
    assert measured["tokens"] == sum(len(target) + 1 for _, target in SENTENCES.values())
    capsys.readouterr()
    assert main(["nbest", "--model", str(one), *given, str(tmp_path / "no"), "--ctc_weight", "0.3"]) == 1
    assert "the model has no CTC layer; give --ctc_weight 0" in capsys.readouterr().err


def test_an_ensemble_is_the_mean_of_its_models(tmp_path):
    """Greedy, by hand: the most probable token of the mean distribution, until it is <eos>."""
    data = write_data(tmp_path / "data", SENTENCES)
    kinds = ("own_luong", "transformer_transformer")
    networks = [build(kind, seed) for seed, kind in enumerate(kinds)]
    found = find_models([str(write_model(tmp_path / kind, kind, seed)) for seed, kind in enumerate(kinds)], None)
    engine = Engine(found, SearchOptions(beam=1, nbest=1, ctc_weight=0.0, maxlenratio=-6), Computing(4000))
    written = {record["id"]: record["hyps"][0] for record in engine.decode(read_rows(data, found.first))}
    ended = 0
    for key, (source, _) in SENTENCES.items():
        src = torch.tensor([[SOURCE.index(letter) if letter in SOURCE else 1 for letter in source]])
        encoded = [network.encode(src, torch.tensor([len(source)])) for network in networks]
        tokens = [networks[0].sos]
        while len(tokens) <= 6:
            ys, lens = torch.tensor([tokens]), torch.tensor([len(tokens)])
            each = [network.decoder(*one, ys, lens)[0][0, -1] for network, one in zip(networks, encoded, strict=True)]
            tokens.append(int(torch.stack(each).softmax(-1).mean(0).argmax()))
            if tokens[-1] == networks[0].eos:
                ended += 1
                break
        assert written[key]["tokens"] == [token for token in tokens if token not in (0, networks[0].eos)], key
    assert ended < len(SENTENCES)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: (data / "text.src").unlink(), "text.src: no such file; the model in {model} reads source text"),
        (lambda data: (data / "text.src").write_text(""), "text.src: is empty"),
        (lambda data: (data / "text.src").write_text("u00 a\nu01\n"), "text.src:2: expected 'KEY VALUE', found 'u01'"),
        (lambda data: (data / "text.src").write_bytes(b"u00 \xff\n"), "text.src:1: not UTF-8"),
    ],
)
def test_source_text_that_cannot_be_read(tmp_path, capsys, damage, words):
    data, model = write_data(tmp_path / "data", SENTENCES), write_model(tmp_path / "model", "own_luong")
    damage(data)
    assert main(["decode", "--model", str(model), "--data", str(data), "--out", str(tmp_path / "out")]) == 1
    assert words.format(model=model) in capsys.readouterr().err


def test_the_sources_tokens(tmp_path):
    model = write_model(tmp_path / "model", "own_luong")
    tokens = source_tokens(model)
    assert (tokens.type, tokens.list) == ("char", SOURCE)
    assert tokens.encode("acq") == [2, 4, 1]


@pytest.mark.parametrize("kind", ["rnn_rnn", "own_luong", "transformer_transformer"])
def test_a_source_of_any_length_is_read(tmp_path, kind):
    """ESPnet's tables of positions have 5,000 and grow; the others have none."""
    sentences = {"long": ("abcdefgh" * 700, "S"), "short": ("a", "T")}
    write_data(tmp_path / "data", sentences)
    models = find_models([str(write_model(tmp_path / "model", kind))], None)
    engine = Engine(models, SearchOptions(beam=2, nbest=1, ctc_weight=0.0, maxlenratio=-4), Computing(4000))
    records = {record["id"]: record for record in engine.decode(read_rows(tmp_path / "data", models.first))}
    assert {key: record["frames"] for key, record in records.items()} == {"long": 5600, "short": 1}
