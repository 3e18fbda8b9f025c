import gzip
import random

from kdasr.cli import main
from kdasr.data.articles import KEPT, articles, distinct
from kdasr.data.grammar import fits, vocabulary


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
    assert main(["data", "text", "--out", str(tmp_path / "c"), "--sentences", "200", "--held_out", "50"]) == 0
    longer = {name: (tmp_path / f"c/{name}.txt").read_text() for name in texts}
    assert longer["train"] == texts["train"] and longer["test"].startswith(texts["test"])
    assert [text.count("\n") for text in longer.values()] == [200, 50, 50]


def test_sentences_of_a_test_set_are_left_out(tmp_path):
    command = ["data", "text", "--out", str(tmp_path / "x"), "--sentences", "300", "--upper"]
    assert main(command) == 0
    lines = (tmp_path / "x/train.txt").read_text().splitlines()
    assert lines[7].isupper()
    (tmp_path / "text").write_text("".join(f"u{k} {line}\n" for k, line in enumerate(lines[:40])))
    assert main([*command, "--without", str(tmp_path / "text")]) == 0
    assert not set(lines[:40]) & set((tmp_path / "x/train.txt").read_text().splitlines())
    # a mark, tabs and DOS ends are not part of the sentences
    rows = "".join(f"u{k}\t" + line.replace(" ", "\t ", 1) + "\r\n" for k, line in enumerate(lines[:40]))
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbf" + rows.encode())
    assert main([*command, "--without", str(tmp_path / "text")]) == 0
    assert not set(lines[:40]) & set((tmp_path / "x/train.txt").read_text().splitlines())


def test_too_few_sentences_are_refused(tmp_path, capsys):
    assert main(["data", "text", "--out", str(tmp_path), "--sentences", "5"]) == 1
    assert "--sentences 5 --seed 0: expected 10 or more" in capsys.readouterr().err
    assert main(["data", "text", "--out", str(tmp_path), "--held_out", "0"]) == 1
    assert "--held_out 0: expected 1 or more" in capsys.readouterr().err
    assert not (tmp_path / "train.txt").exists()


def test_sentences_apart_are_those_of_the_corpus(tmp_path):
    command = ["data", "text", "--sentences", "200", "--apart", "--upper"]
    assert main([*command, "--out", str(tmp_path / "x")]) == 0
    lines = [line.split() for line in (tmp_path / "x/train.txt").read_text().splitlines()]
    assert len(lines) == 200 and all(fits([word.lower() for word in line]) for line in lines)
    assert not all(fits(line.split()) for line in articles(random.Random(0), 200))
    # no names that recur: of the companies in the text most are said by few sentences
    firsts = {word.upper() for words in distinct("name") for word in words}
    assert len(firsts & {word for line in lines[:60] for word in line}) > 10


def write_disc(root):
    """Disc 13-32.1 as a fake: two years, one file packed as gzip does, names in capitals in one of them."""
    place = root / "13-32.1/wsj1/doc/lng_modl/lm_train/np_data"
    for year, name, first in (("87", "w7_001.z", 0), ("88", "W8_001.Z", 6)):
        (place / year).mkdir(parents=True)
        lines = "".join(f"<s>\nThe  number is {k} .point\n</s>\n\n" for k in range(first, first + 6))
        (place / year / name).write_bytes(gzip.compress(f"<art 1>\n{lines}".encode()))
    return place


def test_the_text_of_wsjs_discs(tmp_path, capsys):
    place = write_disc(tmp_path / "wsj1")
    (tmp_path / "text").write_text("u1 THE NUMBER IS 2 .POINT\nu2\n")
    command = ["data", "text", "--out", str(tmp_path / "lm"), "--discs", str(tmp_path / "wsj1"), "--held_out"]
    assert main([*command, "2", "--without", str(tmp_path / "text")]) == 0
    texts = {name: (tmp_path / f"lm/{name}.txt").read_text().splitlines() for name in ("train", "valid", "test")}
    said = [f"THE NUMBER IS {k} .POINT" for k in range(12) if k != 2]
    assert texts == {"train": said[:7], "valid": said[7:9], "test": said[9:]}
    assert "a made text" not in capsys.readouterr().out
    assert main([*command, "5"]) == 1
    assert "holds 12 sentences; hold out fewer than 5: --held_out" in capsys.readouterr().err
    (place / "87/w7_002.z").write_bytes(b"not packed")
    assert main([*command, "2"]) == 1
    assert "w7_002.z: cannot be decompressed" in capsys.readouterr().err
    for path in [*place.glob("*/*")]:
        path.unlink()
    assert main([*command, "2"]) == 1
    assert "np_data/*/*.z on disc 13-32.1; add the disc" in capsys.readouterr().err


def test_an_output_that_is_a_file_and_texts_that_are_none(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    command = ["data", "text", "--sentences", "20", "--out"]
    assert main([*command, str(tmp_path / "file")]) == 1
    assert "this is a file, expected a directory" in capsys.readouterr().err
    for content, message in ((b"u1 \xff\n", "text:1: not UTF-8"), (b"u1 A\nu1 B\n", "text:2: u1 is here a second")):
        (tmp_path / "text").write_bytes(content)
        assert main([*command, str(tmp_path / "out"), "--without", str(tmp_path / "text")]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
