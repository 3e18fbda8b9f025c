"""Stages 8 and 9 of a recipe on minutes of synthetic speech: language models, and lists ranked anew by them."""

import json
import random
import re

import pytest
from micro import copy_of_recipe, finish, run

from kdasr.files import read_json, read_lines, read_table
from kdasr.nbest import archive
from kdasr.shards import claim

pytestmark = pytest.mark.recipe
TINY = "embed=8 hidden=12 last=10 experts=2 layers=2 streams=4 steps=8 epochs=4 stop=0"
LM = [
    "--stage",
    "lm",
    "--stop_stage",
    "rescore",
    "--lm_opts",
    TINY,
    "--lm_objectives",
    "ce trust",
    "--rescore_beam",
    "4",
]
LM += ["--lm_text_opts", "--apart --upper --sentences 200"]
SETS = ("test_dev93", "test_eval92")
MODELS = ("ensemble", "teacher_s1", "teacher_s2", "student_ce_s1", "student_trust_s1")


def write_lists(directory, refs):
    """Lists as a recogniser of words writes them: the reference among copies with a wrong word or one too few."""
    rng = random.Random(0)
    words = sorted({word for ref in refs.values() for word in ref.split()})
    records = []
    for key, ref in refs.items():
        texts = [ref]
        for _ in range(3):
            said = ref.split()
            said[rng.randrange(len(said))] = rng.choice([*words, ""])
            texts.append(" ".join(filter(None, said)))
        rng.shuffle(texts)
        texts = list(dict.fromkeys(texts))
        hyps = [
            {
                "tokens": [3] * len(text),
                "text": text,
                "score": -float(k),
                "scores": {"decoder": -float(k)},
                "ended": "eos",
            }
            for k, text in enumerate(texts)
        ]
        records.append({"id": key, "frames": 100, "hyps": hyps, "duplicates": 0, "stop": "end detected"})
    sizes = {"utterances": len(refs), "shards": 1, "shard_size": len(refs)}
    search = {"nbest": 4, "normalize_length": False}
    claim(directory, {"keys": archive.keys_digest(refs), **sizes, "search": search, "model": "0123"})
    archive.write_shard(directory, 0, records, {name: 0 for name in archive.STATS} | {"parts": {}})
    (directory / ".done").touch()  # taken as it is, however it was made


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The recipe with its stages up to the teacher, and both stages after it; what was said.

    The teacher, after seconds of training, writes hardly a word, which is refused. Its lists are put aside, and others
    in their place.
    """
    recipe = copy_of_recipe(tmp_path_factory.mktemp("lm"))
    finish(run(recipe, "--stop_stage", "teacher", "--early_students", "false"))
    process = run(recipe, *LM)
    output, _ = process.communicate(timeout=1800)
    assert process.returncode == 1 and "Traceback" not in output
    assert "of the other best hypotheses is unknown to exp/lm/" in output
    (recipe / "exp/lm/first_pass").rename(recipe / "first_pass_of_teacher")
    for name in SETS:
        write_lists(recipe / f"exp/lm/first_pass/nbest_teacher/{name}", read_table(recipe / f"data/{name}/text"))
    return recipe, output + finish(run(recipe, *LM))


def test_the_lists_of_the_teacher_are_its_search(place):
    manifest = read_json(place[0] / "first_pass_of_teacher/nbest_teacher/test_eval92/manifest.json")
    assert (manifest["search"]["beam"], manifest["search"]["nbest"], manifest["search"]["ctc_weight"]) == (4, 4, 0.3)


def test_the_text_has_no_test_sentence(place):
    recipe, said = place
    text = recipe / "dump/lm/text"
    assert len(read_lines(text / "train.txt")) == 200 and len(read_lines(text / "valid.txt")) == 20
    tested = {line for name in SETS for line in read_table(recipe / f"data/{name}/text").values()}
    assert len(tested) >= 20
    assert not tested & {line for name in ("train", "valid", "test") for line in read_lines(text / f"{name}.txt")}
    assert "stage 8 (lm)" in said and "stage 9 (rescore)" in said and "stage 10" not in said


@pytest.mark.parametrize("where", ["exp/lm/first_pass", "first_pass_of_teacher"])
def test_the_first_pass_is_the_lists_as_they_stand(place, where):
    recipe, _ = place
    top = recipe / where
    for name in SETS:
        lists = {one["id"]: one["hyps"] for one in archive.read_nbest(top / f"nbest_teacher/{name}")}
        ranked = top / f"rescore_teacher/{name}"
        found = {one["id"]: one for one in map(json.loads, read_lines(ranked / "nbest.jsonl"))}
        assert found.keys() == lists.keys() == read_table(recipe / f"data/{name}/text").keys()
        for key, hyps in lists.items():
            assert [hyp["place"] for hyp in found[key]["hyps"]] == list(range(1, len(hyps) + 1))
        best = {key: " ".join(hyps[0]["text"].split()) for key, hyps in lists.items()}
        assert read_table(ranked / "text", empty=True) == best
        assert max(map(len, lists.values())) > 1


def test_weights_are_tuned_on_one_set_and_used_on_the_other(place):
    recipe, _ = place
    for model in MODELS:
        tuned, used = (recipe / f"exp/lm/{model}/rescore_teacher/{name}" for name in SETS)
        found = read_json(tuned / "weights.json")
        assert read_json(used / "rescore.json")["weights"] == found["weights"]
        assert read_json(used / "rescore.json")["tuned"] is None
        # what was counted while tuning is what is scored
        assert read_json(tuned / "score_wer/score.json")["wer"] == pytest.approx(found["tuned"]["wer"], abs=1e-3)
        before = read_json(recipe / "exp/lm/first_pass/rescore_teacher/test_dev93/score_wer/score.json")["wer"]
        assert found["tuned"]["wer_before"] == pytest.approx(before, abs=1e-3)
        assert found["tuned"]["wer_oracle"] <= found["tuned"]["wer"] <= before


def test_the_table_has_what_was_measured(place):
    recipe, said = place
    results = (recipe / "exp/lm/RESULTS.md").read_text()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in results.splitlines() if row.startswith("|")]
    assert rows[0][4:] == ["test ppl", "valid ppl", *(f"{name} teacher WER" for name in SETS)]
    table = {row[0]: row for row in rows[: rows.index(next(row for row in rows[2:] if row[0] == "model"))][2:]}
    assert list(table) == ["first pass", "ensemble", "teacher", "student, ce", "student, trust"]
    assert all("|".join(row) in said for row in table.values())
    assert table["first pass"][1:6] == ["1", "-", "-", "-", "-"]
    for label, name in (("first pass", "first_pass"), ("ensemble", MODELS[0]), ("student, trust", MODELS[4])):
        wers = [read_json(recipe / f"exp/lm/{name}/rescore_teacher/{one}/score_wer/score.json")["wer"] for one in SETS]
        assert table[label][6:] == [f"{wer:.2f}" for wer in wers]
    for label, name in (("ensemble", MODELS[0]), ("student, ce", MODELS[3])):
        assert table[label][5] == f"{read_json(recipe / f'exp/lm/{name}/ppl/valid.json')['ppl']:.2f}"
    assert "WER: `costs:433" in results and "say nothing about WSJ" in results


def test_a_second_run_does_nothing_and_other_settings_are_refused(place):
    recipe, _ = place
    made = {path: path.stat().st_mtime_ns for path in (recipe / "exp/lm").rglob("*") if path.is_file()}
    del made[recipe / "exp/lm/RESULTS.md"]  # written each time, from all models that are there
    output = finish(run(recipe, *LM))
    assert "training (" not in output and output.count("done already") == 1 + 1 + 2 + 2 + 2
    assert {path: path.stat().st_mtime_ns for path in made} == made
    process = run(recipe, *LM, "--rescore_opts", "--grid lm=0:2:0.5")
    output, _ = process.communicate(timeout=1800)
    assert process.returncode == 1 and "Traceback" not in output
    assert "rescore_opts was '', now '--grid lm=0:2:0.5'" in output


def test_transcripts_serve_where_there_is_no_text(place):
    """As in AN4: those of the transcribed audio, each once; validated on those of the validation set."""
    recipe, _ = place
    options = ["--transcribed", "1", "--dumpdir", "dump2", "--expdir", "exp2"]
    options += ["--lm_objectives", "ce", "--lm_teacher_seeds", "1"]
    (recipe / "dump2").mkdir()
    (recipe / "dump2/fbank").symlink_to(recipe / "dump/fbank")
    output = finish(run(recipe, *LM, "--stop_stage", "lm", "--lm_text_opts", " ", *options))
    texts = {name: read_lines(recipe / f"dump2/lm/text/{name}.txt") for name in ("train", "valid", "test")}
    sources = [recipe / f"dump/fbank/{name}/text" for name in ("train_si284", *SETS)]
    assert [sorted(text) for text in texts.values()] == [sorted(read_table(path).values()) for path in sources]
    assert re.search(r"exp2/lm/student_ce_s1: [\d,]+ parameters, 4 epochs, validation perplexity", output)
