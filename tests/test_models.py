"""What a model directory says of itself: checkpoints by rank, hashes that name every byte, and what does not fit."""

from __future__ import annotations

import hashlib

import pytest
import torch
import yaml

from kdasr.errors import UserError
from kdasr.models import (
    ASR_CHECKPOINTS,
    LM_CHECKPOINTS,
    Models,
    beside,
    find_checkpoint,
    find_lm,
    find_model,
    find_models,
    read_config,
    token_hash,
    translates,
)

TOKENS = ["<blank>", "<unk>", "a", "<sos/eos>"]


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))


def write_model(directory, checkpoints=("valid.acc.ave.pth",), **changes):
    directory.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(checkpoints):
        torch.save({"weight": torch.full((1,), float(number))}, directory / name)
    config = {"input_size": 8, "token_list": TOKENS, **changes}
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    return str(directory)


def write_lm(directory, **changes):
    config = {"lm": "seq_rnn", "lm_conf": {}, **changes}
    return write_model(directory, ["valid.loss.ave.pth"], **config)


def sixteen(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def test_the_hash_of_tokens_is_that_of_their_file(tmp_path):
    write_lines(tmp_path / "tokens.txt", TOKENS)
    assert token_hash(TOKENS) == sixteen(tmp_path / "tokens.txt")
    assert len({token_hash(TOKENS), token_hash(TOKENS[::-1]), token_hash(TOKENS[:-1]), token_hash([])}) == 4


def test_a_model_is_what_its_directory_says(tmp_path):
    directory = tmp_path / "model"
    source = find_model(write_model(directory), None)
    hashes = (sixteen(directory / "valid.acc.ave.pth"), sixteen(directory / "config.yaml"), token_hash(TOKENS))
    assert source == (str(directory), str(directory / "valid.acc.ave.pth"), tuple(TOKENS), 8, None, hashes, None, ())
    assert len(set(hashes)) == 3 and {len(one) for one in hashes} == {16}
    lm = find_lm(write_lm(tmp_path / "lm"), None)
    assert (lm.bins, lm.sample_rate, lm.tokens) == (None, None, tuple(TOKENS))
    places = [tmp_path / "lm" / name for name in ("valid.loss.ave.pth", "config.yaml")]
    assert lm.hashes == (*map(sixteen, places), token_hash(TOKENS))
    (tmp_path / "lm" / "valid.acc.ave.pth").write_bytes(b"")  # a recogniser's is none of a language model's
    assert lm.checkpoint == find_lm(str(tmp_path / "lm"), None).checkpoint == str(places[0])


@pytest.mark.parametrize("usual", [ASR_CHECKPOINTS, LM_CHECKPOINTS])
def test_the_averaged_best_comes_first(tmp_path, usual):
    assert ASR_CHECKPOINTS == ("valid.acc.ave.pth", "valid.acc.best.pth", "valid.loss.ave.pth", "valid.loss.best.pth")
    assert ASR_CHECKPOINTS[2:] == LM_CHECKPOINTS
    for name in reversed(usual):
        (tmp_path / name).write_bytes(b"")
        assert find_checkpoint(tmp_path, None, usual) == tmp_path / name
    (tmp_path / "5epoch.pth").write_bytes(b"")
    assert find_checkpoint(tmp_path, "5epoch.pth", usual) == tmp_path / "5epoch.pth"
    with pytest.raises(UserError, match=r"none of 6epoch.pth is there"):
        find_checkpoint(tmp_path, "6epoch.pth", usual)


def test_an_average_may_have_its_full_name_alone(tmp_path):
    names = ["valid.loss.ave_5best.pth", "valid.acc.ave_10best.pth", "valid.acc.best.pth", "valid.acc.ave.pth"]
    for better in names:  # a usual name comes before any full one
        (tmp_path / better).write_bytes(b"")
        assert find_checkpoint(tmp_path) == tmp_path / better
    (tmp_path / names[2]).unlink()
    (tmp_path / names[3]).unlink()
    (tmp_path / "valid.acc.ave_3best.pth").write_bytes(b"")  # which of the two was meant?
    assert find_checkpoint(tmp_path) == tmp_path / names[0]
    with pytest.raises(UserError, match=r"none of 6epoch.pth is there"):
        find_checkpoint(tmp_path, "6epoch.pth")


def test_the_checkpoint_that_is_named_is_taken_of_each(tmp_path):
    both = [write_model(tmp_path / name, ["valid.acc.ave.pth", "2epoch.pth"]) for name in "ab"]
    models = find_models(both, "2epoch.pth")
    assert [one.checkpoint for one in models.sources] == [f"{path}/2epoch.pth" for path in both]
    assert find_models(both, None).settings()["model"] != models.settings()["model"]
    lm = write_model(tmp_path / "lm", ["valid.loss.ave.pth", "2epoch.pth"], lm="seq_rnn", lm_conf={})
    assert find_models(both, None, lm, "2epoch.pth").lm.checkpoint == f"{lm}/2epoch.pth"
    assert find_models(both, "2epoch.pth", lm).lm.checkpoint == f"{lm}/valid.loss.ave.pth"


def test_a_manifest_names_all_that_decodes(tmp_path):
    a, b = write_model(tmp_path / "a"), write_model(tmp_path / "b", ["other.pth", "valid.acc.ave.pth"], seed=1)
    lm = write_lm(tmp_path / "lm")
    one, two, three = find_model(a, None), find_model(b, None), find_lm(lm, None)
    models = find_models([a, b], None, lm)
    assert models == Models((one, two), three) and models.first == one
    assert one.hashes[0] != two.hashes[0] and one.hashes[1] != two.hashes[1]
    assert models.settings() == {
        "model": f"{one.hashes[0]}+{two.hashes[0]}",
        "config": f"{one.hashes[1]}+{two.hashes[1]}",
        "tokens": one.hashes[2],
        "lm": three.hashes[0],
        "lm_config": three.hashes[1],
    }
    assert find_models([a], None).settings() == {
        key: one.hashes[i] for i, key in enumerate(("model", "config", "tokens"))
    }


@pytest.mark.parametrize(
    ("frontend", "rate"),
    [(None, 16000), ({}, 16000), ({"fs": 8000}, 8000), ({"fs": "8k"}, 8000), ({"fs": "44100"}, 44100), ([], 16000)],
)
def test_the_sampling_rate_of_a_waveform_front_end(tmp_path, frontend, rate):
    source = find_model(write_model(tmp_path, input_size=None, frontend_conf=frontend), None)
    assert (source.bins, source.sample_rate) == (None, rate)


@pytest.mark.parametrize("fs", [0, "0k", "k", "8K", "16000.5", "-8000", 8.5, "8k8", ""])
def test_other_sampling_rates_are_refused(tmp_path, fs):
    directory = write_model(tmp_path, input_size=None, frontend_conf={"fs": fs})
    with pytest.raises(UserError, match=r"config.yaml: frontend_conf has fs '.*', expected a sampling rate"):
        find_model(directory, None)


def test_a_number_of_bins_is_a_whole_number(tmp_path):
    for wrong in ("8", 8.0, True, [8]):
        with pytest.raises(UserError, match=r"input_size is .*, expected a number"):
            find_model(write_model(tmp_path, input_size=wrong), None)


def test_models_of_one_input_and_one_token_list_go_together(tmp_path):
    eight = write_model(tmp_path / "eight")
    nine = write_model(tmp_path / "nine", input_size=9)
    slow, fast = (write_model(tmp_path / fs, input_size=None, frontend_conf={"fs": fs}) for fs in ("8k", "16k"))
    other = write_model(tmp_path / "other", token_list=[*TOKENS[:2], "b", TOKENS[3]])
    for wrong, said in [
        ([eight, eight, nine], "eight takes 8 bins a frame, .*nine takes 9 bins a frame; an ensemble needs"),
        ([slow, fast], "8k takes audio of 8000 Hz, .*16k takes audio of 16000 Hz"),
        ([eight, slow], "eight takes 8 bins a frame, .*8k takes audio of 8000 Hz"),
        ([eight, eight, other], "other: its token list is not .*eight .token 2 is 'b', not 'a'.; the models of an"),
    ]:
        with pytest.raises(UserError, match=said):
            find_models(wrong, None)
    turned = write_model(tmp_path / "turned", token_list=TOKENS[::-1])  # the same tokens, numbered otherwise
    for wrong in ([eight, turned], [eight, eight, turned]):
        with pytest.raises(UserError, match="turned: its token list is not that of"):
            find_models(wrong, None, write_lm(tmp_path / "good"))
        with pytest.raises(UserError, match="turned: its token list is not that of"):
            find_models(wrong, None)
    assert len(find_models([slow, slow, slow], None).sources) == 3
    lm = write_lm(tmp_path / "lm", token_list=TOKENS[:-1])
    with pytest.raises(UserError, match=r"lm: its token list .*3 tokens, not 4.; the language model must be trained"):
        find_models([eight], None, lm)


def test_a_token_list_in_a_file(tmp_path):
    """The one in the token directory, then beside the config, then where the training had it."""
    old, model = tmp_path / "old", tmp_path / "model"
    places = [model / "tokens" / "list.txt", model / "list.txt", old / "list.txt"]
    write_model(model, token_list=str(places[2]))
    with pytest.raises(UserError, match=r"model/config.yaml: names .*old/list.txt as the token list, which is gone"):
        read_config(model)
    for number, place in reversed(list(enumerate(places))):
        place.parent.mkdir(exist_ok=True)
        write_lines(place, [*TOKENS, str(number)])
        assert beside(model, str(places[2]), "the token list") == place
        assert read_config(model)["token_list"] == [*TOKENS, str(number)]


def test_the_token_directory_is_the_models_own(tmp_path):
    directory = write_model(tmp_path)
    (tmp_path / "tokens").mkdir()
    write_lines(tmp_path / "tokens" / "tokens.txt", TOKENS)
    assert find_model(directory, None).tokens == tuple(TOKENS)
    write_lines(tmp_path / "tokens" / "tokens.txt", TOKENS[::-1])
    with pytest.raises(UserError, match=r"tokens/tokens.txt: is not the token list of .*config.yaml"):
        find_model(directory, None)


@pytest.mark.parametrize("gone", ["input_size", "token_list", "lm", "lm_conf"])
def test_a_config_of_something_else_is_refused(tmp_path, gone):
    lm = gone.startswith("lm") or gone == "token_list"
    directory = write_lm(tmp_path) if lm else write_model(tmp_path)
    assert read_config(directory, lm)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del config[gone]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=f"is not the config of an ESPnet2 {'language' if lm else 'ASR'} model"):
        read_config(directory, lm)


@pytest.mark.parametrize("tokens", [None, 5, {"a": 1}, ["a", 1], [None]])
def test_a_token_list_is_of_words(tmp_path, tokens):
    with pytest.raises(UserError, match="is not the config of an ESPnet2 ASR model"):
        read_config(write_model(tmp_path, token_list=tokens))


def test_no_config_is_told_with_a_remedy(tmp_path):
    with pytest.raises(UserError, match=r"no such file; .* is no trained model \(train one: kdasr train --out"):
        read_config(tmp_path)
    with pytest.raises(UserError, match=r"no such file; .* is no trained language model \(name an ESPnet2 LM"):
        read_config(tmp_path, lm=True)


def test_a_model_that_translates(tmp_path):
    """What it reads counts in an ensemble, and src_tokens beside it has to be what its config.yaml says."""
    for name, letter in (("one", "a"), ("two", "b")):
        write_model(tmp_path / name, input_size=None, src_token_list=["<blank>", letter, "<sos/eos>"])
    source = tmp_path / "one"
    found = find_model(tmp_path / "one", None)
    assert (found.reads, found.bins, found.sample_rate) == (("<blank>", "a", "<sos/eos>"), None, None)
    assert translates(tmp_path / "one") and not translates(tmp_path / "gone")
    with pytest.raises(
        UserError, match=r"one takes source text of 3 tokens .'a' amid them., .*two takes source text of 3"
    ):
        find_models([str(tmp_path / "one"), str(tmp_path / "two")], None)
    (source / "src_tokens").mkdir()
    (source / "src_tokens/tokens.txt").write_text("<blank>\na\n<sos/eos>\n")
    assert find_model(source, None).reads == found.reads
    write_model(source, input_size=None, src_token_list="elsewhere/list.txt")
    write_lines(source / "list.txt", found.reads)
    assert find_model(source, None).reads == found.reads
    (source / "src_tokens/tokens.txt").write_text("<blank>\nb\n<sos/eos>\n")
    with pytest.raises(UserError, match=r"src_tokens/tokens.txt: is not the source token list of .*one/config.yaml"):
        find_model(source, None)
