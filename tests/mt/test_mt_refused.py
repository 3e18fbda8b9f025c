"""What a model that translates cannot do is said in one sentence; and its source tokens, for a student."""

import pytest
import yaml
from mt_models import SOURCE, draw, options, write_data, write_model

from kdasr.asr.translation_task import KDTranslationTask
from kdasr.cli import main
from kdasr.data.make_tokens import train_pieces
from kdasr.data.source_text import source_tokens
from kdasr.data.tokens import load_tokens
from kdasr.errors import UserError


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "export --model model --out bundle --format sherpa-onnx",
            "model: is a model that translates, and kdasr export --format sherpa-onnx takes recognisers",
        ),
        ("transcribe --model model a.wav", "model: is a model that translates, and kdasr transcribe takes recognisers"),
        ("export --model model --out bundle --ctc_weight 0.3", "--ctc_weight 0.3: model has no CTC branch; give 0"),
        (
            "export --model model --out bundle --data data --wsj_filter",
            "--nlsyms, --wsj_filter: are for word errors, and model translates; leave them out",
        ),
        (
            "frames align --model model --data data --out ali",
            "is a model that translates, and kdasr frames align takes",
        ),
        (
            "soft --model model --targets targets --data data --ctc",
            "--ctc: model is a model that translates, which has no",
        ),
        ("tokens --model plain --source --out tokens", "--source: takes the tokens that a model reads; name one that"),
    ],
)
def test_what_recognisers_alone_do(tmp_path, monkeypatch, capsys, command, words):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model", "own_luong")
    write_data(tmp_path / "data", draw(3))
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets/targets.json").write_text('{"settings": {}}')
    assert main(command.split()) == 1
    assert words in capsys.readouterr().err


def test_source_tokens_of_a_model(tmp_path):
    model = write_model(tmp_path / "model", "rnn_rnn")
    assert main(["tokens", "--model", str(model), "--source", "--out", str(tmp_path / "source")]) == 0
    assert main(["tokens", "--model", str(model), "--out", str(tmp_path / "target")]) == 0
    assert main(["tokens", "--model", str(model), "--out", str(tmp_path / "source")]) == 1
    assert load_tokens(tmp_path / "source").list == SOURCE != load_tokens(tmp_path / "target").list


def test_the_targets_pieces_are_not_taken_for_the_sources(tmp_path):
    """Both sides' sentencepiece models are called bpe.model, and a moved model may have one of them alone."""
    model = write_model(tmp_path / "model", "rnn_rnn")
    pieces = {
        side: train_pieces([text] * 3, "bpe", 12, [], side) for side, text in (("a", "ab bc cd"), ("b", "xy yz zx"))
    }
    tokens = {side: ["<blank>", "<unk>", "▁", *letters, "<sos/eos>"] for side, letters in (("a", "abcd"), ("b", "xyz"))}
    config = vars(options("rnn_rnn", src_token_list=tokens["a"], src_token_type="bpe", src_bpemodel="gone/bpe.model"))
    (model / "config.yaml").write_text(yaml.safe_dump(config))
    (model / "bpe.model").write_bytes(pieces["a"])
    assert source_tokens(model).list == tokens["a"]
    (model / "bpe.model").write_bytes(pieces["b"])
    with pytest.raises(UserError, match="src_bpemodel has no piece 'a', as src_token_list has"):
        source_tokens(model)


@pytest.mark.parametrize("kd", [{"word_weight": 0.5, "teachers": ["t"]}, {"targets": "t"}, {}])
def test_a_mean_over_tokens_is_espnets_alone(kd):
    """Ours sum over tokens: a student of hypotheses or distributions would not learn as its configuration says."""
    conf = {"report_bleu": False, "length_normalized_loss": True}
    args = options("own_luong", KDTranslationTask, model_conf=conf, kd_conf=kd, ngpu=0, cpu_bf16=False)
    if kd:
        with pytest.raises(UserError, match="model_conf: length_normalized_loss: hypotheses and distributions are"):
            KDTranslationTask.build_model(args)
    else:
        assert not KDTranslationTask.build_model(args).own_references


@pytest.mark.parametrize("there", [True, False])
def test_bfloat16_is_for_processors_that_have_it(monkeypatch, caplog, there):
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: there)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    args = options("own_luong", KDTranslationTask, kd_conf={}, ngpu=0, cpu_bf16=True)
    assert KDTranslationTask.build_model(args).cpu_bf16 is there
    assert ("training goes on in float32" in caplog.text) is not there
