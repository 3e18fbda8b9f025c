"""The small grammar of translation pairs: what is right, by hand; and the data directories drawn from it."""

import random

import pytest
from made_corpora import validate

from kdasr.cli import main
from kdasr.data import pairs
from kdasr.files import read_table

SMALL = ("--train", "200", "--valid", "20", "--test", "30", "10")


def write(root, *more):
    return main(["data", "pairs", "--out", str(root), *SMALL, *more])


def of(source):
    return pairs.translations(pairs.parse(source))


def test_two_hands_with_words_genders_and_tenses_of_their_own():
    assert of("the old butcher lifted a red roll") == {
        "der alte Fleischer hob ein rotes Brötchen hoch",
        "der alte Metzger hat eine rote Semmel gelüpft",
    }
    assert of("a clever boy fetched the new chair") == {
        "ein kluger Junge holte den neuen Stuhl ab",
        "ein gescheiter Bub hat den neuen Sessel geholt",
    }


def test_when_and_where_at_all_places():
    north = {
        "am Sonnabend sah die Tante einen Hund im Garten",
        "am Sonnabend sah die Tante im Garten einen Hund",
        "die Tante sah am Sonnabend einen Hund im Garten",
        "die Tante sah am Sonnabend im Garten einen Hund",
        "die Tante sah einen Hund am Sonnabend im Garten",
        "die Tante sah im Garten einen Hund am Sonnabend",
    }
    south = {
        "am Samstag hat die Tante einen Hund im Garten angeschaut",
        "am Samstag hat die Tante im Garten einen Hund angeschaut",
        "die Tante hat am Samstag einen Hund im Garten angeschaut",
        "die Tante hat am Samstag im Garten einen Hund angeschaut",
        "die Tante hat einen Hund am Samstag im Garten angeschaut",
        "die Tante hat im Garten einen Hund am Samstag angeschaut",
    }
    assert of("the aunt saw a dog in the garden on saturday") == north | south
    assert len(of("the aunt saw a dog on saturday")) == 6
    assert len(of("the aunt saw a dog in the garden")) == 4


def test_the_verb_behind_a_link():
    assert of("a cook sold the cat because the guest brought an old hat") == {
        "eine Köchin verkaufte die Katze , weil der Gast einen alten Hut mitbrachte",
        "eine Köchin verkaufte die Katze , weil der Gast ja einen alten Hut mitbrachte",
        "eine Köchin verkaufte die Katze , denn der Gast brachte einen alten Hut mit",
        "eine Köchin verkaufte die Katze , denn der Gast brachte ja einen alten Hut mit",
        "eine Köchin hat die Katze verkauft , weil der Gast einen alten Hut gebracht hat",
        "eine Köchin hat die Katze verkauft , weil der Gast ja einen alten Hut gebracht hat",
        "eine Köchin hat die Katze verkauft , denn der Gast hat einen alten Hut gebracht",
        "eine Köchin hat die Katze verkauft , denn der Gast hat ja einen alten Hut gebracht",
    }
    assert of("a cook sold the cat while the guest found a key") == {
        "eine Köchin verkaufte die Katze , während der Gast einen Schlüssel fand",
        "eine Köchin hat die Katze verkauft , während der Gast einen Schlüssel gefunden hat",
    }


def test_a_translation_that_mixes_hands_is_wrong():
    right = of("the boy saw the orange")
    assert right == {"der Junge sah die Apfelsine", "der Bub hat die Orange angeschaut"}
    assert not right & {"der Junge sah die Orange", "der Junge hat die Orange angeschaut", "der Bub sah die Orange"}


def test_what_is_english_is_read_back():
    rng = random.Random(3)
    for _ in range(500):
        sentence = pairs.draw(rng)
        assert pairs.parse(pairs.english(sentence)) == sentence
        assert pairs.german(sentence, pairs.draw_way(rng)) in pairs.translations(sentence)


@pytest.mark.parametrize(
    "source", ["", "the boy", "an boy saw the dog", "the boy saw the aunt", "the boy saw the dog ."]
)
def test_what_is_no_sentence(source):
    assert pairs.parse(source) is None


def test_no_english_word_has_two_meanings():
    tables = (pairs.PEOPLE, pairs.THINGS, pairs.ADJECTIVES, pairs.VERBS, pairs.PLACES, pairs.TIMES)
    lines = [line for table in tables for line in table.replace(";", "\n").split("\n") if line.strip()]
    words = [line.strip().split(": ")[0] for line in lines]
    assert len(words) == len(set(words))


def test_choices_are_drawn_by_their_weights():
    rng = random.Random(1)
    drawn = [pairs.draw_way(rng) for _ in range(4000)]
    for name, options in pairs.CHOICES.items():
        for option, weight in options.items():
            share = sum(way[name] == option for way in drawn) / len(drawn)
            assert share == pytest.approx(weight / sum(options.values()), abs=0.03), (name, option)


def test_data_directories(tmp_path, capsys):
    assert write(tmp_path) == 0
    assert f"{tmp_path}/test_2: 10 utterances" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev", "test_1", "test_2", "train"]
    sources = []
    for name, size in (("train", 200), ("dev", 20), ("test_1", 30), ("test_2", 10)):
        validate(tmp_path / name, "--no-wav", "--no-feats")
        source, target = read_table(tmp_path / name / "text.src"), read_table(tmp_path / name / "text")
        assert list(source) == list(target) == [f"{name}-{n:0{len(str(size))}}" for n in range(1, size + 1)]
        assert pairs.count_right(tmp_path / name / "text", tmp_path / name / "text.src") == (size, size)
        sources += source.values()
    assert len(sources) == len(set(sources)) == 260


def test_test_sets_stay_as_training_grows(tmp_path):
    for root, more in (("a", ()), ("b", ()), ("more", ("--train", "400")), ("other", ("--seed", "1"))):
        assert write(tmp_path / root, *more) == 0

    def text(root, name):
        return [(tmp_path / root / name / table).read_text() for table in ("text.src", "text")]

    for name in ("train", "dev", "test_1", "test_2"):
        assert text("a", name) == text("b", name) != text("other", name)
    for name in ("dev", "test_1", "test_2"):
        assert text("a", name) == text("more", name)


def test_a_sentence_that_is_drawn_again_is_left_out(tmp_path, monkeypatch):
    few = [pairs.parse(f"the {noun} saw the dog") for noun in pairs._PEOPLE]
    monkeypatch.setattr(pairs, "draw", lambda rng: rng.choice(few))
    pairs.write_pairs(tmp_path, train=10, valid=5, test=[5, 4], seed=0)
    tables = [read_table(tmp_path / name / "text.src") for name in ("train", "dev", "test_1", "test_2")]
    assert sorted(words for table in tables for words in table.values()) == sorted(map(pairs.english, few))


def test_how_many_are_right(tmp_path, capsys):
    assert write(tmp_path) == 0
    source, target = tmp_path / "test_1/text.src", tmp_path / "test_1/text"
    lines = target.read_text().splitlines()
    written = tmp_path / "written"
    written.write_text("\n".join([f"{lines[0]} nicht", lines[1].split(" ")[0], *lines[2:]]) + "\n")
    capsys.readouterr()
    assert main(["data", "pairs", "--check", str(written), "--of", str(source)]) == 0
    assert capsys.readouterr().out == f"{written}: 28 of 30 translations are right (93.3%)\n"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda text, source: text.write_text("test_2-01 der\n"),
            "has other sentences than {source} (first: test_2-02)",
        ),
        (
            lambda text, source: source.write_text(source.read_text().replace("test_2-03 ", "test_2-03 very ")),
            "{source}: test_2-03 is no sentence of kdasr data pairs; only these can be checked",
        ),
    ],
)
def test_what_cannot_be_checked(tmp_path, capsys, damage, words):
    assert write(tmp_path) == 0
    text, source = (tmp_path / "test_2" / name for name in ("text", "text.src"))
    damage(text, source)
    assert main(["data", "pairs", "--check", str(text), "--of", str(source)]) == 1
    assert words.format(source=source) in capsys.readouterr().err


def test_what_is_refused(tmp_path, capsys):
    assert write(tmp_path / "d", "--test", "3", "0") == 1
    assert "d/test_2: is to have 0 pairs; ask for one or more" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
    assert main(["data", "pairs", "--check", "text"]) == 1
    assert "--check: name the source of these translations with --of" in capsys.readouterr().err
