import random

from kdasr.cli import main
from kdasr.data.articles import KEPT, articles, distinct
from kdasr.data.grammar import vocabulary


def test_articles_speak_the_grammars_words_and_keep_to_their_names():
    lines = articles(random.Random(0), 15)
    assert len(lines) == 15
    words = {word.lower() for word in vocabulary()}
    assert {word for line in lines for word in line.split()} <= words
    for rule in KEPT:
        assert len(distinct(rule)) > 2
    # one article of 15 sentences (seed 0 draws 13 first): at most two companies, two countries in it
    names = {words[0] for words in distinct("name")}
    found = {word for line in articles(random.Random(0), 5) for word in line.split()} & names
    assert len(found) <= 2


def test_texts_are_the_same_again_and_apart_from_each_other(tmp_path):
    for name in ("a", "b"):
        assert main(["data", "text", "--out", str(tmp_path / name), "--sentences", "200"]) == 0
    texts = {name: (tmp_path / f"a/{name}.txt").read_text() for name in ("train", "valid", "test")}
    assert texts == {name: (tmp_path / f"b/{name}.txt").read_text() for name in texts}
    assert [text.count("\n") for text in texts.values()] == [200, 20, 20]
    assert not set(texts["valid"].splitlines()) & set(texts["test"].splitlines())


def test_sentences_of_a_test_set_are_left_out(tmp_path):
    command = ["data", "text", "--out", str(tmp_path / "x"), "--sentences", "300", "--upper"]
    assert main(command) == 0
    lines = (tmp_path / "x/train.txt").read_text().splitlines()
    assert lines[7].isupper()
    (tmp_path / "text").write_text("".join(f"u{k} {line}\n" for k, line in enumerate(lines[:40])))
    assert main([*command, "--without", str(tmp_path / "text")]) == 0
    assert not set(lines[:40]) & set((tmp_path / "x/train.txt").read_text().splitlines())


def test_too_few_sentences_are_refused(tmp_path, capsys):
    assert main(["data", "text", "--out", str(tmp_path), "--sentences", "5"]) == 1
    assert "--sentences 5 --seed 0: expected 10 or more" in capsys.readouterr().err
    assert not (tmp_path / "train.txt").exists()
