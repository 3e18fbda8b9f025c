"""egs/multi30k on a few sentences of its grammar, and on files of plain parallel text: tiny networks, all stages."""

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sacrebleu
from micro import ROOT, copy_of_recipe

from kdasr.files import read_json, read_table
from kdasr.nbest.archive import read_nbest

pytestmark = pytest.mark.recipe
OWN = """
frontend: lookup
frontend_conf: {{embed_dim: {size}}}
encoder: text_rnn
encoder_conf: {{hidden_size: {size}, num_layers: 1}}
decoder: luong
decoder_conf: {{hidden_size: {size}, num_layers: 1, embed_size: {size}, tie_output: true}}
optim: adamw
optim_conf: {{lr: 0.01}}
grad_clip: 5.0
batch_type: numel
batch_bins: 60000
num_iters_per_epoch: {updates}
max_epoch: 2
num_workers: 0
best_model_criterion: [[valid, acc, max]]
keep_nbest_models: 1
num_att_plot: 0
use_matplotlib: false
use_tensorboard: false
"""
TINY = ["--teacher_config", "conf/tiny_teacher.yaml", "--student_configs", "conf/tiny_student.yaml"]
TINY += ["--teacher_fine_tune_config", "conf/tiny_student.yaml", "--vocab", "120", "--beam", "5", "--nbest", "5"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    directory = copy_of_recipe(tmp_path_factory.mktemp("mt"), "multi30k")
    for name, size, updates in (("teacher", 48, 60), ("student", 24, 30)):
        (directory / f"conf/tiny_{name}.yaml").write_text(OWN.format(size=size, updates=updates))
    return directory


def run(recipe, *words, status=0):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["./run.sh", *TINY, *words], cwd=recipe, capture_output=True, text=True, env=environment, timeout=1800
    )
    assert done.returncode == status, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def test_the_embedded_default_from_nothing_to_its_table(recipe):
    students = ["--students", "refs word seq_k1_b5"]
    said = run(recipe, "--pairs", "300", *students)
    exp = recipe / "exp/pairs"
    assert "say nothing about languages" in re.sub(r"their BLEU says", "their BLEU say", said)
    table = (exp / "RESULTS.md").read_text()
    for label in ("teacher", "student on references", "Word-KD", "Seq-KD, k 1, beam 5"):
        assert f"|{label}|" in table
    assert "BLEU" in table and "WER" not in table and "real-time" not in table
    teacher, student = (read_json(exp / f"{one}_s1/kdasr.json") for one in ("teacher_tiny", "student_tiny_seq_k1_b5"))
    assert teacher["updates"] == 120 and student["updates"] == 60 and student["learned_from"] == "hypotheses"
    # the score is sacrebleu's of what was decoded
    place = exp / "teacher_tiny_s1/decode_beam/test_1"
    refs, hyps = (read_table(path, empty=True) for path in (recipe / "data/pairs/test_1/text", place / "text"))
    assert refs.keys() == hyps.keys()
    bleu = sacrebleu.corpus_bleu([hyps[key] for key in refs], [list(refs.values())]).score
    assert read_json(place / "score_bleu/score.json")["bleu"] == pytest.approx(bleu, abs=1e-4)
    # the student's targets are the teacher's best hypotheses
    texts = {one["id"]: [hyp["text"] for hyp in one["hyps"]] for one in read_nbest(exp / "teacher_tiny_s1/nbest_train")}
    targets = read_table(exp / "teacher_tiny_s1/targets_seq_k1_b5/text")
    assert len(targets) > 100 and all(text in texts[key] for key, text in targets.items())
    again = run(recipe, "--pairs", "300", *students)
    assert "training (" not in again and "decoding" not in again
    # the exported student translates as it did in the laboratory
    lines = recipe / "lines.txt"
    source = read_table(recipe / "data/pairs/test_1/text.src")
    lines.write_text("".join(f"{source[key]}\n" for key in list(source)[:20]))
    bundle = exp / "student_tiny_seq_k1_b5_s1/bundle.zip"
    command = [sys.executable, "-m", "kdasr.cli", "translate", "--model", str(bundle), str(lines)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    theirs = read_table(exp / "student_tiny_seq_k1_b5_s1/decode_beam/test_1/text", empty=True)
    assert done.stdout.splitlines() == [theirs[key] for key in list(source)[:20]], done.stderr


@pytest.fixture(scope="module")
def plain(recipe, tmp_path_factory):
    """Files as of iwslt14, with parts that nobody has translated: from the grammar's sentences."""
    folder = tmp_path_factory.mktemp("plain")
    for name, source in (("train", "train"), ("valid", "dev"), ("test", "test_1")):
        tables = [read_table(recipe / f"data/pairs/{source}/{table}") for table in ("text.src", "text")]
        for table, language in zip(tables, ("de", "en"), strict=True):
            text = "".join(f"{line}\n" for line in list(table.values())[:200])
            if name == "valid":
                (folder / f"{name}.{language}.gz").write_bytes(gzip.compress(text.encode()))
            else:
                (folder / f"{name}.{language}").write_text(text)
    extra = list(tables[0].values())[200:]
    (folder / "more.1.de").write_text("".join(f"{line}\n" for line in extra[:30]))
    (folder / "more.2.de.gz").write_bytes(gzip.compress("".join(f"{line}\n" for line in extra[30:50]).encode()))
    return folder, extra[:50]


def test_plain_parallel_text_with_untranslated_text(recipe, plain):
    folder, extra = plain
    words = ["--data", str(folder), "--src", "de", "--tgt", "en", "--valid_set", "valid", "--test_sets", "test"]
    words += ["--unlabelled_set", "more", "--students", "refs pseudo", "--exports", "none", "--decode_tags", "greedy"]
    run(recipe, *words)
    name = f"{folder.name}_de-en"
    more = read_table(recipe / f"data/{name}/more/text.src")
    assert list(more.values()) == extra and not (recipe / f"data/{name}/more/text").exists()
    table = (recipe / f"exp/{name}/RESULTS.md").read_text()
    assert "|student on references and pseudo-labels|" in table
    targets = read_table(recipe / f"exp/{name}/teacher_tiny_s1/targets_pseudo/text", empty=True)
    labelled = {key for key in targets if key.startswith("more-")}
    assert labelled <= set(more) and len(labelled) > 25  # such a teacher babbles: what loops is left out


@pytest.mark.parametrize(
    "change, said",
    [
        ({"train.en": "one\n"}, "lines of a parallel text belong together"),
        ({"test.de": None, "test.en": None}, "data"),
        ({"train.de": b"\xff\n" * 200}, "UTF-8"),
    ],
)
def test_a_wrong_corpus_is_named(recipe, plain, tmp_path, change, said):
    for path in plain[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for name, content in change.items():
        if content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    words = ["--data", str(tmp_path), "--src", "de", "--tgt", "en", "--valid_set", "valid", "--test_sets", "test"]
    words += ["--students", "refs", "--stop_stage", "feats"]
    for part in ("data", "dump", "exp"):
        words += [f"--{part if part != 'exp' else 'exp'}{'dir'}", f"{part}/wrong_{abs(hash(str(change)))}"]
    assert said in run(recipe, *words, status=1)
