"""N-best lists ranked anew: the command on archives of ours, and what is refused."""

import contextlib
import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.files import read_json, read_lines, read_table, write_json
from kdasr.lm.mixture import Mixture, encode, load_mixture
from kdasr.lm.model import load
from kdasr.lm.rescore import given_weights, summary
from kdasr.lm.text import Words
from kdasr.lm.weights import Lists
from kdasr.nbest import archive
from kdasr.shards import claim

STATS = {name: 0 for name in archive.STATS} | {"parts": {}}
SENTENCES = ["the cat sat here", "the dog ran there", "a cat sat there", "the cow ran here", "the dog sat", "a fox ran"]
HYPS = {
    "u1": [("the cat sad here", -2.0), ("the cat sat here", -2.5), ("the cat sat hear", -4.0)],
    "u2": [("the dog ran there", -1.0), ("the dog ran they're", -1.0), ("", -9.0)],
    "u3": [("a fox ran hear", -3.0), ("a fox ran here", -3.0), ("a cow ran here", -3.25)],
    "u4": [("", -7.0)],
}
VOCABULARY = ["the", "cat", "dog", "sat", "ran", "here", "there"]
REFS = {"u1": "the cat sat here", "u2": "the dog ran there", "u3": "a fox ran here", "u4": "the dog"}


def write_archive(directory, lists=HYPS, normalize=False, shards=1):
    """An archive of these hypotheses; a list is put in the search's order first."""
    records = []
    for key, hyps in lists.items():
        rows = [
            {"tokens": [3] * len(text), "text": text, "score": score, "scores": {"decoder": 2 * score}, "ended": "eos"}
            for text, score in hyps
        ]
        if key == "u4":
            rows[0]["scores"] = {}
        records.append({"id": key, "frames": 100, "hyps": rows, "duplicates": 0, "stop": "end detected"})
    search = {"nbest": max(map(len, lists.values())), "normalize_length": normalize}
    size = -(-len(lists) // shards)
    sizes = {"utterances": len(lists), "shards": shards, "shard_size": size}
    claim(directory, {"keys": archive.keys_digest(lists), **sizes, "search": search, "model": "0123"})
    for shard in range(shards):
        archive.write_shard(directory, shard, records[shard * size : (shard + 1) * size], STATS)
    return str(directory)


def write_refs(path, refs=REFS):
    path.write_text("".join(f"{key} {text}\n" for key, text in refs.items()))
    return str(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two language models of words, with a class of rare ones, and an archive."""
    root = tmp_path_factory.mktemp("rescore")
    (root / "text").write_text("\n".join(SENTENCES * 12) + "\nthe owl sat here\nan elk ran\n")
    text, words = str(root / "text"), str(root / "words")
    assert main(["lm", "words", "--text", text, "--min_count", "2", "--out", words]) == 0
    sets = [
        f"{key}={value}" for key, value in {"embed": 8, "hidden": 12, "last": 10, "layers": 1, "experts": 2}.items()
    ]
    sets += [f"drop_{kind}=0" for kind in ("input", "hidden", "output", "latent", "embed", "weight")]
    sets += ["activation=0", "temporal=0", "streams=4", "steps=8", "rate=10", "clip=1", "epochs=10"]
    for seed in "12":
        files = ["--train", text, "--valid", text, "--words", words, "--out", str(root / f"lm{seed}")]
        assert main(["lm", "train", *files, "--seed", seed, "--set", *sets]) == 0
    write_archive(root / "nbest")
    write_refs(root / "ref")
    return root


def rescore(*words):
    return main(["rescore", *map(str, words)])


def read_out(out):
    return {record["id"]: record["hyps"] for record in map(json.loads, read_lines(out / "nbest.jsonl"))}


@torch.no_grad()
def alone(directories, text):
    """Log P of a text by the mean of models, word by word, from whole distributions."""
    models = [load(one) for one in directories]
    words = models[0][1]
    rare = dict(line.split() for line in read_lines(directories[0] / "tokens" / "rare.txt"))
    ids, share = [len(words) - 1], 0.0
    for word in text.split():
        ids.append(words.index("<rnn_unk>" if word in rare else word if word in words else "<unk>"))
        share += np.log(int(rare[word]) / sum(map(int, rare.values()))) if word in rare else 0.0
    probs = sum(model(torch.tensor([ids]), None)[0][0].exp() for model, _ in models) / len(models)
    return share + float(probs[range(len(ids)), [*ids[1:], ids[0]]].log().sum())


# --------------------------------------------------------------------------------------- identity


def places(out):
    return [[hyp["place"] for hyp in hyps] for hyps in read_out(out).values()]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_without_weights_the_ranking_is_as_it_was(root, tmp_path, normalize, seed):
    """Random lists full of ties; where the search normalised, it counted another end here and there."""
    rng = np.random.default_rng(seed)
    lists = {}
    for key in ("a", "b", "c"):
        texts = {" ".join(rng.choice(VOCABULARY, size=rng.integers(6))) for _ in range(20)}
        rows = [(text, -float(rng.integers(1, 5)), len(text) + 1 + rng.integers(2)) for text in sorted(texts)]
        rows.sort(key=lambda row: row[1] / row[2] if normalize else row[1], reverse=True)
        lists[key] = [(text, score) for text, score, _ in rows]
    out = tmp_path / "out"
    nbest = write_archive(tmp_path / "nbest", lists, normalize)
    assert rescore("--nbest", nbest, "--lm", root / "lm1", "--out", out) == 0
    found = read_out(out)
    assert {key: [hyp["place"] for hyp in hyps] for key, hyps in found.items()} == {
        key: list(range(1, len(hyps) + 1)) for key, hyps in lists.items()
    }
    assert read_table(out / "text", empty=True) == {key: hyps[0][0] for key, hyps in lists.items()}
    assert read_json(out / "rescore.json")["changed"] == 0


# ----------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("lms", [["lm1"], ["lm1", "lm2"]])
def test_scores_and_totals(root, tmp_path, lms):
    """Each hypothesis by itself, rare words' shares included; the total is the weighted sum."""
    directories = [root / lm for lm in lms]
    name, out = "+".join(lms), tmp_path / "out"
    lists = {"u1": [("the owl sat here", -2.0), ("an elk ran", -2.5), ("an elf ran", -2.6), ("", -3.0)]}
    nbest = write_archive(tmp_path / "nbest", lists | {"u2": HYPS["u2"], "u4": HYPS["u4"]})
    weights = {"score": 0.5, "decoder": 0.25, name: 0.7, "length": 0.1}
    spec = "+".join(map(str, directories))
    words = ["--weights", *(f"{key}={value}" for key, value in weights.items())]
    assert rescore("--nbest", nbest, "--lm", spec, *words, "--out", out) == 0
    found = read_out(out)
    for key, hyps in found.items():
        assert sorted(hyp["place"] for hyp in hyps) == list(range(1, len(hyps) + 1))
        for hyp in hyps:
            expected = alone(directories, hyp["text"])
            assert hyp["scores"][name] == pytest.approx(expected, abs=1e-4)
            assert hyp["scores"]["length"] == len(hyp["text"].split())
            assert hyp["total"] == pytest.approx(sum(weights[one] * hyp["scores"][one] for one in weights), abs=1e-5)
        totals = [hyp["total"] for hyp in hyps]
        assert totals == sorted(totals, reverse=True)
        assert read_table(out / "text", empty=True)[key] == hyps[0]["text"]
    record = read_json(out / "rescore.json")
    one = record["lms"][name]
    assert (one["words"], one["unknown"], one["rare"]) == (18, 2, 4)  # elf, they're; owl, elk, an, an
    assert one["steps"] == 18 + 8 and one["tree"] == 14
    assert record["changed"] == sum(hyps[0]["place"] > 1 for hyps in found.values())


def test_all_scores_are_a_token_where_the_search_normalised(root, tmp_path):
    """By tokens, the end of the sentence among them, which is what the search divided by: here a token a letter."""
    lists = {"u1": [("the cat sat here", -2.0), ("the owl sat here", -2.5), ("the cat", -4.0)]}
    nbest, out = write_archive(tmp_path / "nbest", lists, normalize=True), tmp_path / "out"
    weights = {"score": 0.5, "decoder": 0.25, "lm": 2.0, "length": 1.5}
    words = ["--lm", f"lm={root}/lm1", "--weights", *(f"{key}={value}" for key, value in weights.items())]
    assert rescore("--nbest", nbest, *words, "--out", out) == 0
    score = dict(lists["u1"])
    for hyp in read_out(out)["u1"]:
        text = hyp["text"]
        whole = {"score": score[text], "decoder": 2 * score[text], "lm": alone([root / "lm1"], text)}
        whole["length"] = len(text.split())
        expected = {name: value / (len(text) + 1) for name, value in whole.items()}
        assert hyp["scores"] == pytest.approx(expected, abs=1e-4)
        assert hyp["total"] == pytest.approx(sum(weights[name] * expected[name] for name in weights), abs=1e-4)


def test_shares_of_a_class_are_part_of_a_vocabulary(root, tmp_path):
    """Models of the same words, whose rare words are counted otherwise, give no word one probability."""
    shutil.copytree(root / "lm1", tmp_path / "lm")
    about = read_json(tmp_path / "lm/tokens/tokens.json")
    write_json(tmp_path / "lm/tokens/tokens.json", {key: value for key, value in about.items() if key != "sha256"})
    rare = tmp_path / "lm/tokens/rare.txt"
    rare.write_text(rare.read_text().replace("owl 1", "owl 2"))
    assert len(load_mixture(Mixture("m", (str(root / "lm1"), str(root / "lm2"))))[0]) == 2
    with pytest.raises(UserError, match=r"--lm .*/lm: has another vocabulary than .*lm1"):
        load_mixture(Mixture("m", (str(root / "lm1"), str(tmp_path / "lm"))))


def test_more_than_half_unknown_is_refused_by_the_first_that_has_such_words():
    """Of the first hypothesis of each utterance; rare words are known, each with its share."""
    words = Words(["<blank>", "<unk>", "<rnn_unk>", "the", "<sos/eos>"], {"owl": 3, "elk": 1})
    mixture = Mixture("m", ("exp/lm",))
    lists = Lists(["u1", "u2"], np.array([1, 2]), ["the owl", "cat dog", "the elk owl the cat"])
    ids, share, unknown = encode(lists, words, mixture, "nbest")
    assert [one.tolist() for one in ids] == [[3, 2], [1, 1], [3, 2, 2, 3, 1]]
    assert share == pytest.approx([np.log(0.75), 0, np.log(0.75 * 0.25)])
    assert unknown == (9, 3, 3)
    lists.texts[1] = "cat dog fox"
    with pytest.raises(UserError, match="nbest: u2: most of 'cat dog fox' and of the other best hypotheses is unknown"):
        encode(lists, words, mixture, "nbest")


def test_a_language_model_mends_what_the_search_got_wrong(root, tmp_path, capsys):
    """Tuned on these lists; the weights are those of the least WER on the grid, and give it on the other call."""
    dev, test = tmp_path / "dev", tmp_path / "test"
    common = ["--nbest", root / "nbest", "--lm", f"lm={root}/lm1"]
    assert rescore(*common, "--tune", root / "ref", "--out", dev) == 0
    shown = capsys.readouterr().out
    assert "WER of 4 utterances, 14 words: 28.57 % before, 14.29 % after, 14.29 % at best (oracle)" in shown
    assert rescore(*common, "--weights", dev / "weights.json", "--out", test) == 0
    assert (test / "text").read_bytes() == (dev / "text").read_bytes()
    assert read_table(test / "text", empty=True) == REFS | {"u4": ""}
    (tmp_path / "utt2spk").write_text("".join(f"{key} {key}\n" for key in REFS))
    words = ["--ref", root / "ref", "--hyp", test / "text", "--utt2spk", tmp_path / "utt2spk", "--dir", tmp_path / "s"]
    assert main(["score", *map(str, words)]) == 0
    assert "%WER 14.29 [ 2 / 14" in capsys.readouterr().out
    weights, tuned = (read_json(dev / "weights.json")[key] for key in ("weights", "tuned"))
    assert tuned["wer"] == 14.2857 and dict(tuned["table"]["lm"])[weights["lm"]] == 14.29
    assert weights["score"] == 1 and 0 < weights["lm"] < 1


def test_words_that_are_not_scored_are_not_tuned_for(root, tmp_path, capsys):
    lists = {"u1": [("the dog <NOISE>", -1.0), ("the cat", -2.0), ("<COUGH> the cat", -3.0)]}
    nbest, out = write_archive(tmp_path / "nbest", lists), tmp_path / "out"
    ref = write_refs(tmp_path / "ref", {"u1": "the dog"})
    (tmp_path / "nlsyms").write_text("<COUGH>\n")
    flags = {"plain": [], "wsj": ["--wsj_filter"], "nlsyms": ["--nlsyms", tmp_path / "nlsyms"]}
    for (name, words), before in zip(flags.items(), ("50.00", "0.00", "50.00"), strict=True):
        assert rescore("--nbest", nbest, "--tune", ref, *words, "--out", out / name) == 0
        assert f"{before} % before" in capsys.readouterr().out


def test_words_where_nothing_was_said_are_errors_to_tune_against(root, tmp_path, capsys):
    """The reference of u1 is empty: the shorter hypothesis has one error, the first one two."""
    lists = {"u1": [("the dog", -1.0), ("dog", -1.25)], "u2": [("the cat", -1.0)]}
    nbest, out = write_archive(tmp_path / "nbest", lists), tmp_path / "out"
    (tmp_path / "ref").write_bytes("\ufeffu1\r\nu2\tthe\tcat\r\n".encode())
    assert rescore("--nbest", nbest, "--tune", tmp_path / "ref", "--out", out) == 0
    assert "2 utterances, 2 words: 100.00 % before, 50.00 % after" in capsys.readouterr().out
    assert read_table(out / "text") == {"u1": "dog", "u2": "the cat"}


def test_a_no_break_space_is_part_of_a_word(root, tmp_path):
    nbest, out = write_archive(tmp_path / "nbest", {"u1": [("the\u00a0cat  sat", -1.0)]}), tmp_path / "out"
    assert rescore("--nbest", nbest, "--out", out) == 0
    (hyp,) = read_out(out)["u1"]
    assert hyp["text"] == "the\u00a0cat sat" and hyp["scores"]["length"] == 2


def test_damaged_archives_and_results_are_named(root, tmp_path, capsys):
    nbest, out = tmp_path / "nbest", tmp_path / "out"
    write_archive(nbest)
    assert rescore("--nbest", nbest, "--out", out) == 0
    record = read_json(out / "rescore.json")
    wrong = [
        {key: kept for key, kept in record.items() if key != left_out} for left_out in ("lms", "weights", "changed")
    ]
    for value in [*wrong, record | {"weights": {"score": "x"}}, record | {"made_from": []}, record | {"lms": {"a": 5}}]:
        write_json(out / "rescore.json", value)
        capsys.readouterr()
        assert rescore("--nbest", nbest, "--out", out) == 1
        assert "out/rescore.json: " in capsys.readouterr().err
    manifest = read_json(nbest / "manifest.json")
    write_json(nbest / "manifest.json", manifest | {"search": "x"})
    assert rescore("--nbest", nbest, "--out", tmp_path / "new") == 1
    assert "nbest/manifest.json: is not an N-best archive's manifest" in capsys.readouterr().err


def test_histories_are_joined_on_request(root, tmp_path):
    common = ["--nbest", root / "nbest", "--lm", root / "lm1"]
    assert rescore(*common, "--out", tmp_path / "exact") == 0
    assert rescore(*common, "--history", 1, "--out", tmp_path / "joined") == 0
    trees = [read_json(tmp_path / name / "rescore.json")["lms"]["lm1"]["tree"] for name in ("exact", "joined")]
    known = set(load(root / "lm1")[1])
    lists = [[[word if word in known else "?" for word in text.split()] for text, _ in hyps] for hyps in HYPS.values()]
    prefixes = {tuple(hyp[:k]) for hyps in lists for hyp in hyps for k in range(len(hyp) + 1)}
    ends = {(u, k, *hyp[k - 1 : k]) for u, hyps in enumerate(lists) for hyp in hyps for k in range(len(hyp) + 1)}
    assert trees == [len(prefixes), len(ends)]


# --------------------------------------------------------------------------------------- again, or never


def test_a_second_call_does_nothing(root, tmp_path, capsys):
    common = ["--nbest", root / "nbest", "--lm", root / "lm1", "--out", tmp_path / "out"]
    assert rescore(*common, "--weights", "lm1=0.5") == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert set(before) == {"text", "nbest.jsonl", "weights.json", "rescore.json"}
    capsys.readouterr()
    assert rescore(*common, "--weights", "lm1=0.5") == 0
    assert "out: done already" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert rescore(*common, "--weights", "lm1=0.25") == 1
    assert "out: was made with another weights; remove the directory" in capsys.readouterr().err


def test_a_result_is_known_by_all_it_was_made_from(root, tmp_path, capsys):
    """Each file and option is changed, one at a time: refused by its name."""
    for name in ("lm1", "lm2"):
        shutil.copytree(root / name, tmp_path / name)
    write_archive(tmp_path / "nbest", shards=2)
    write_refs(tmp_path / "ref")
    (tmp_path / "nlsyms").write_text("<A>\n")
    write_json(tmp_path / "w.json", {"weights": {"length": 0.5}})
    base = {
        "--nbest": ["nbest"], "--lm": ["lm={root}/lm1+{root}/lm2"], "--weights": ["w.json", "score=0.9"],
        "--tune": ["ref"], "--nlsyms": ["nlsyms"], "--grid": ["lm=0:1:0.5", "length=0:1:0.5"], "--wsj_filter": [],
        "--history": ["2"],
    }  # fmt: skip

    def call(options):
        words = [word for name, values in options.items() for word in (name, *values)]
        words = [word.format(root=tmp_path) for word in words]
        return rescore(
            *(tmp_path / word if (tmp_path / word).exists() else word for word in words), "--out", tmp_path / "out"
        )

    def refused(options, what):
        capsys.readouterr()
        assert call(options) == 1, (options, what)
        assert f"out: was made with another {what}; remove the directory" in capsys.readouterr().err

    assert call(base) == call(base) == 0
    for name, what, values in (
        ("--lm", "lm", ["lm={root}/lm2+{root}/lm1"]),
        ("--lm", "lm", ["lm={root}/lm1"]),
        ("--lm", "lm", ["x={root}/lm1+{root}/lm2"]),
        ("--weights", "weights", ["score=0.9"]),
        ("--weights", "weights", ["w.json", "score=0.8"]),
        ("--weights", "weights", ["score=0.9", "w.json"]),
        ("--grid", "grid", ["lm=0:1:0.5", "length=0:1:0.25"]),
        ("--history", "history", ["3"]),
    ):
        refused(base | {name: values}, what)
    for name in ("--nlsyms", "--wsj_filter"):
        refused({key: value for key, value in base.items() if key != name}, name[2:])
    refused({key: value for key, value in base.items() if key not in ("--grid", "--tune")}, "tune")
    checkpoints = [f"{name}/valid.loss.best.pth" for name in ("lm1", "lm2")]
    shards = [str(path.relative_to(tmp_path)) for path in archive_files(tmp_path / "nbest")]
    assert len(shards) == 2
    for path, what in (
        *dict.fromkeys(checkpoints, "lm").items(), *dict.fromkeys(shards, "nbest").items(),
        ("w.json", "weights"), ("ref", "tune"), ("nlsyms", "nlsyms"),
    ):  # fmt: skip
        kept = (tmp_path / path).read_bytes()
        (tmp_path / path).write_bytes(kept + b" ")
        refused(base, what)
        (tmp_path / path).write_bytes(kept)
    made = read_json(tmp_path / "out/rescore.json")
    write_json(tmp_path / "out/rescore.json", made | {"made_from": made["made_from"] | {"acoustic_scale": 0.1}})
    refused(base, "acoustic_scale")
    write_json(tmp_path / "out/rescore.json", made)
    assert call(base) == 0


def archive_files(directory):
    return [archive.shard_path(directory, shard) for shard in range(archive.read_manifest(directory)["shards"])]


def test_a_summary_counts_steps_and_unknown_words():
    """A step more than words for each of the hypotheses; shares are of words."""
    lm = {"steps": 1250, "tree": 500, "words": 1000, "unknown": 25}
    record = {"lms": {"lm": lm, "none": dict.fromkeys(lm, 0)}, "weights": {"score": 1, "lm": 0.5, "length": 0}}
    assert summary("out", record | {"changed": 3, "utterances": 8}).splitlines() == [
        "lm: 1,250 steps in 500 (2.5 to one), 2.50 % of the words unknown",
        "none: 0 steps in 0 (0.0 to one), 0.00 % of the words unknown",
        "out: the best hypothesis of 3 of 8 utterances changed; score=1 lm=0.5",
    ]


def test_later_weights_go_over_earlier_ones_and_those_over_the_score(tmp_path):
    names = ["score", "lm", "length"]
    file = tmp_path / "w.json"
    write_json(file, {"weights": {"lm": 0.5, "length": 1}})
    assert given_weights([], names) == {"score": 1.0}
    assert given_weights(["lm=0.1"], names) == {"score": 1.0, "lm": 0.1}
    assert given_weights(["lm=0.1", str(file)], names) == {"score": 1.0, "lm": 0.5, "length": 1.0}
    assert given_weights([str(file), "lm=0", "score=2"], names) == {"score": 2.0, "lm": 0.0, "length": 1.0}


def test_an_interrupted_call_leaves_nothing(root, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kdasr.lm.rescore.write_lists", full)
    with contextlib.suppress(OSError):
        assert rescore("--nbest", root / "nbest", "--out", tmp_path / "out") == 1
    assert [path.name for path in tmp_path.iterdir()] == [".out.lock"]


# ------------------------------------------------------------------------------------- other vocabularies


def espnet_lm(directory, kind="seq_rnn", token_type="char", tokens="abcdehinorst"):
    """A language model as ESPnet leaves it, with random weights."""
    from kdasr.networks.load import register_lm

    conf = {"unit": 8, "nlayers": 1} if kind == "seq_rnn" else {"embed_unit": 4, "att_unit": 4, "head": 1, "unit": 4}
    listed = ["<blank>", "<unk>", *tokens, *(["<space>"] if token_type == "char" else []), "<sos/eos>"]
    config = {"lm": kind, "lm_conf": conf, "token_list": listed, "token_type": token_type, "init": None, "model": "lm"}
    config["model_conf"] = {}
    directory.mkdir()
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    import argparse

    model = register_lm().build_model(argparse.Namespace(**config)).eval()
    torch.save(model.state_dict(), directory / "valid.loss.best.pth")
    return model.lm, listed


@pytest.mark.parametrize("token_type", ["char", "word"])
def test_espnets_models_read_their_own_tokens(root, tmp_path, token_type):
    tokens = "abcdehinorst" if token_type == "char" else ["the", "cat", "here"]
    lm, listed = espnet_lm(tmp_path / "lm", token_type=token_type, tokens=tokens)
    lists = {"u1": [("the cat sat here", -1.0), ("the cat", -2.0)]}
    nbest = write_archive(tmp_path / "nbest", lists)
    assert rescore("--nbest", nbest, "--lm", tmp_path / "lm", "--out", tmp_path / "out") == 0
    for hyp in read_out(tmp_path / "out")["u1"]:
        said = hyp["text"].replace(" ", "_") if token_type == "char" else hyp["text"].split()
        said = ["<space>" if one == "_" else one for one in said]
        ids = [listed.index(one) if one in listed else 1 for one in said]
        with torch.no_grad():
            logp = torch.log_softmax(lm(torch.tensor([[len(listed) - 1, *ids]]), None)[0][0], -1)
        expected = float(logp[range(len(ids) + 1), [*ids, len(listed) - 1]].sum())
        assert hyp["scores"]["lm"] == pytest.approx(expected, abs=1e-4)


# ------------------------------------------------------------------------------------------- refusals


def spoiled(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "lm=1"], "--weights lm=1: there is no score 'lm'; there are score, decoder, length"),
        (["--weights", "length"], "--weights length: expected NAME=W"),
        (["--weights", "length=nan"], "--weights length=nan: expected a number, found 'nan'"),
        (["--weights", "{tmp}/w.json"], "w.json: has no weights"),
        (["--weights", "{tmp}/w2.json"], "w2.json: there is no score 'other'"),
        (["--weights", "{tmp}/w3.json"], "w3.json: length: expected a number, found 'x'"),
        (["--tune", "{root}/ref", "--nlsyms", "{root}/text"], "text:1: expected one symbol, found 'the cat sat here'"),
        (["--tune", "{tmp}/ref_empty"], "ref_empty: no words are left to score"),
        (["--tune", "{tmp}/ref_lacking"], "ref_lacking: lacks 1 of the 4 utterances of"),
        (["--tune", "{tmp}/ref_more"], "nbest: lacks 1 of the 5 utterances of"),
        (["--tune", "{tmp}/ref_bytes"], "ref_bytes:2: not UTF-8"),
        (["--tune", "{tmp}/nowhere"], "nowhere: no such file"),
        (["--grid", "length=0:1:0.1"], "--grid: is for --tune"),
        (["--tune", "{root}/ref", "--grid", "length=0:1"], "--grid length=0:1: expected NAME=FROM:TO:STEP"),
        (["--tune", "{root}/ref", "--grid", "length=1:0:0.1"], "expected from 2 to 1000 values"),
        (["--lm", "{tmp}"], "config.yaml: no such file; {tmp} is no trained language model"),
        (["--lm", "{tmp}/transformer"], "a language model of type transformer; name one of type awd_lstm"),
        (["--lm", "{root}/lm1+{tmp}/seq_rnn"], "seq_rnn: has another vocabulary than {root}/lm1; name models of one"),
        (["--lm", "{tmp}/seq_rnn"], "nbest: u1: most of 'the cat sad here'"),
        (["--lm", "length={root}/lm1"], "the lists have a score 'length' already"),
        (["--lm", "{root}/lm1", "{root}/lm1"], "there is another score 'lm1'; name this one"),
        (["--lm", "+"], "--lm +: names no language model"),
        (["--nbest", "{tmp}/nowhere"], "nowhere: neither an N-best archive (manifest.json) nor Kaldi's"),
        (["--acoustic_scale", "0.1"], "is no archive of Kaldi's; leave it out"),
        (["--out", "{tmp}"], "holds other things than rescored lists"),
    ],
)
def test_input_that_is_none_is_refused(root, tmp_path, capsys, words, message):
    write_refs(tmp_path / "ref_lacking", {key: REFS[key] for key in ("u1", "u2", "u4")})
    write_refs(tmp_path / "ref_more", REFS | {"u5": "a"})
    (tmp_path / "ref_bytes").write_bytes(b"u1 a\nu2 \xff\n")
    (tmp_path / "w.json").write_text("{}")
    (tmp_path / "w3.json").write_text('{"weights": {"length": "x"}}')
    write_refs(tmp_path / "ref_empty", dict.fromkeys(REFS, ""))
    (tmp_path / "w2.json").write_text('{"weights": {"score": 1, "other": 1}}')
    if any("transformer" in word for word in words):
        espnet_lm(tmp_path / "transformer", "transformer")
    if any("seq_rnn" in word for word in words):
        espnet_lm(tmp_path / "seq_rnn", token_type="word", tokens=["THE", "CAT"])
    filled = [word.format(tmp=tmp_path, root=root) for word in words]
    common = ["--nbest", root / "nbest"] * ("--nbest" not in filled) + ["--out", tmp_path / "out"] * (
        "--out" not in filled
    )
    assert rescore(*common, *filled) == 1
    shown = capsys.readouterr().err
    said = [line for line in shown.splitlines() if not line.startswith("note: ")]  # that no checksum is known
    assert len(said) == 1 and message.format(tmp=tmp_path, root=root) in said[0]
    assert not (tmp_path / "out").exists()
