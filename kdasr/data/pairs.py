"""Pairs of English sentences and their German translations, of a small grammar of our own, for a demo of translation.

What makes them hard for a small student is that a sentence has several right translations, as in Kim and Rush (2016),
and that a translation has to go on as it began:

- Two hands translate, one of the north of the German-speaking countries and one of the south. The north writes
  `Fleischer` for a butcher and tells in the past tense (`kaufte`), the south writes `Metzger` and tells in the perfect
  (`hat ... gekauft`). Words may differ in gender, with it articles and adjectives (`das Brötchen`, `die Semmel`), and
  verbs in their parts (`hob ... hoch`, `hat ... gelüpft`). Whoever begins a sentence finishes it.
- When (`am Samstag`) and where (`im Garten`) may stand at several places, and the verb moves with them.
- `because` is `weil`, with the verb last, or `denn`, with the verb second, and may go with a particle.

Each pair has one translation, drawn at random by the weights of CHOICES: nothing in the source tells which. A model of
references has to learn all of them. `translations` has every right one, so that what a model writes can be checked.
Sentences are as they are said, without capital letters at their beginning and without a full stop.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr.data.kaldi_dir import SOURCE, Tables, put_sets
from kdasr.data.parallel import note
from kdasr.errors import UserError
from kdasr.files import read_table

# English: north | south, or one word for both. A noun is its gender and its nominative (/ its other cases), a verb of
# the north its past tense (+ the prefix that is split off) and of the south its participle.
PEOPLE = """
    butcher: m Fleischer | m Metzger; boy: m Junge/Jungen | m Bub/Buben; girl: n Mädchen | f Kleine
    carpenter: m Tischler | m Schreiner; plumber: m Klempner | m Spengler; farmer: m Landwirt | m Bauer/Bauern
    doctor: m Arzt | m Doktor; grandmother: f Großmutter | f Oma; grandfather: m Großvater | m Opa; aunt: f Tante
    sweep: m Schornsteinfeger | m Kaminkehrer; waitress: f Kellnerin | f Bedienung; teacher: m Lehrer
    policeman: m Polizist/Polizisten | m Gendarm/Gendarmen; neighbour: m Nachbar/Nachbarn; nurse: f Krankenschwester
    woman: f Frau; child: n Kind; guest: m Gast; baker: m Bäcker; hunter: m Jäger; mayor: m Bürgermeister
    postman: m Briefträger | m Postbote/Postboten; cook: f Köchin
"""
THINGS = """
    orange: f Apfelsine | f Orange; roll: n Brötchen | f Semmel; potato: f Kartoffel | m Erdapfel
    carrot: f Mohrrübe | f Karotte; cupboard: m Schrank | m Kasten; chair: m Stuhl | m Sessel; horse: n Pferd | n Ross
    bicycle: n Fahrrad | n Rad; car: m Wagen | n Auto; goat: f Ziege | f Geiß; bag: f Tüte | n Sackerl
    cap: f Mütze | f Haube; broom: m Besen; pan: f Pfanne; ladder: f Leiter; letter: m Brief; book: n Buch
    cheese: m Käse; tomato: f Tomate | m Paradeiser; cabbage: m Kohl | n Kraut; cream: f Sahne | m Rahm
    dumpling: m Kloß | m Knödel; mushroom: m Pilz | n Schwammerl; jacket: f Jacke | m Janker; picture: n Bild
    clock: f Uhr; key: m Schlüssel; knife: n Messer; lamp: f Lampe; cat: f Katze; dog: m Hund; cow: f Kuh; hat: m Hut
    cake: m Kuchen; table: m Tisch; pancake: m Pfannkuchen | f Palatschinke; barrel: f Tonne | n Fass
    box: m Karton | f Schachtel
"""
ADJECTIVES = """
    old: alt; new: neu; small: klein; big: groß; red: rot; green: grün; dirty: schmutzig | dreckig; round: rund
    cheap: billig | günstig; clever: klug | gescheit; pretty: hübsch | fesch; huge: riesig | gewaltig; heavy: schwer
    lovely: schön | wunderbar; bad: schlecht | schlimm; quick: schnell | flink; young: jung; light: leicht; good: gut
    strange: seltsam
"""
VERBS = """
    bought: kaufte | gekauft; sold: verkaufte | verkauft; found: fand | gefunden; saw: sah | angeschaut
    opened: öffnete | aufgemacht; closed: schloss | zugemacht; cleaned: säuberte | geputzt; stole: stahl | geklaut
    lost: verlor | verloren; needed: benötigte | gebraucht; received: erhielt | bekommen; hid: versteckte | versteckt
    repaired: reparierte | gerichtet; carried: trug | geschleppt; fetched: holte+ab | geholt; sought: suchte | gesucht
    brought: brachte+mit | gebracht; praised: lobte | gelobt; painted: malte+an | gemalt; wanted: wollte | gewollt
    forgot: vergaß | vergessen; lifted: hob+hoch | gelüpft; pushed: schob | geschubst
    photographed: nahm+auf | fotografiert
"""
PLACES = """
    in the garden: im Garten; at the market: auf dem Markt | am Markt; in front of the church: vor der Kirche
    in the attic: auf dem Dachboden | auf dem Speicher; on the pavement: auf dem Bürgersteig | am Gehsteig
    at the station: am Bahnhof; in the kitchen: in der Küche; behind the house: hinter dem Haus
    in the pub: in der Kneipe | im Beisl; in the hospital: im Krankenhaus | im Spital; in the cellar: im Keller
    on the hill: auf dem Hügel | am Berg; by the river: am Fluss; in the shop: im Laden | im Geschäft
    on the meadow: auf der Wiese | auf der Alm; in the village: im Dorf
"""
TIMES = """
    on saturday: am Sonnabend | am Samstag; yesterday: gestern; today: heute; in january: im Januar | im Jänner
    in february: im Februar | im Feber; at noon: mittags | zu Mittag; in the evening: abends | am Abend
    on monday: am Montag; in spring: im Frühling | im Frühjahr; in autumn: im Herbst; at christmas: zu Weihnachten
    in the morning: am Morgen | in der Früh; this year: dieses Jahr | heuer; suddenly: plötzlich | auf einmal
"""
LINKS = {  # English: translations, each with the place of the verb behind it
    "because": {"weil": "last", "denn": "second"},
    "although": {"obwohl": "last", "obgleich": "last"},
    "but": {"aber": "second", "doch": "second"},
    "while": {"während": "last"},
}

CHOICES: dict[str, dict[str, int]] = {  # what a translator chooses: with which weight
    "hand": {"north": 6, "south": 4},
    "time": {"first": 5, "middle": 3, "last": 2},
    "place": {"before": 4, "behind": 6},  # the object
    "second_place": {"before": 4, "behind": 6},
    "link": {"one": 6, "other": 4},
    "particle": {"": 6, "ja": 4},  # in what follows "because"
}
Way = Mapping[str, str]  # an option of each of CHOICES

ARTICLES = {"m": ("der", "den", "ein", "einen"), "f": ("die", "die", "eine", "eine"), "n": ("das", "das", "ein", "ein")}
ENDINGS = {"m": ("e", "en", "er", "en"), "f": ("e", "e", "e", "e"), "n": ("e", "e", "es", "es")}


def _read(table: str) -> dict[str, tuple[str, str]]:
    """A table of words: English -> what the north and the south write."""
    words = {}
    for entry in re.split(r"[;\n]", table.strip()):
        english, german = entry.strip().split(": ")
        north, _, south = german.partition(" | ")
        words[english] = (north, south or north)
    return words


_PEOPLE, _THINGS, _ADJECTIVES, _VERBS, _PLACES, _TIMES = map(_read, (PEOPLE, THINGS, ADJECTIVES, VERBS, PLACES, TIMES))


@dataclass(frozen=True)
class Noun:
    """`the old butcher`, in English words."""

    definite: bool
    adjective: str  # "": none
    noun: str


@dataclass(frozen=True)
class Clause:
    """Who did what, in English words."""

    subject: Noun
    verb: str
    object: Noun
    place: str  # "": none


@dataclass(frozen=True)
class Sentence:
    """A clause, perhaps with a time, and perhaps with a second clause behind a link ("": none)."""

    main: Clause
    time: str
    link: str
    second: Clause | None


def draw(rng: random.Random) -> Sentence:
    """A random sentence."""
    time = rng.choice([*_TIMES]) if rng.random() < 0.7 else ""
    link = rng.choice([*LINKS]) if rng.random() < 0.5 else ""
    return Sentence(_draw_clause(rng, 0.5), time, link, _draw_clause(rng, 0.3) if link else None)


def _draw_clause(rng: random.Random, placed: float) -> Clause:
    """A random clause, with a place in such a share of cases."""
    subject, verb, thing = _draw_noun(rng, _PEOPLE), rng.choice([*_VERBS]), _draw_noun(rng, _THINGS)
    return Clause(subject, verb, thing, rng.choice([*_PLACES]) if rng.random() < placed else "")


def _draw_noun(rng: random.Random, nouns: Mapping[str, tuple[str, str]]) -> Noun:
    """One of the nouns, half of them with an adjective."""
    return Noun(rng.random() < 0.6, rng.choice([*_ADJECTIVES]) if rng.random() < 0.5 else "", rng.choice([*nouns]))


def english(sentence: Sentence) -> str:
    """The source text."""
    parts = [_english_clause(sentence.main), sentence.time]
    parts += [sentence.link, _english_clause(sentence.second)] if sentence.second else []
    return " ".join(filter(None, parts))


def _english_clause(clause: Clause) -> str:
    """Its words."""
    return " ".join(
        filter(None, (_english_noun(clause.subject), clause.verb, _english_noun(clause.object), clause.place))
    )


def _english_noun(noun: Noun) -> str:
    """Its words."""
    words = f"{noun.adjective} {noun.noun}".strip()
    return ("the " if noun.definite else "an " if words[0] in "aeiou" else "a ") + words


def _pattern() -> re.Pattern[str]:
    """What `english` writes, with a group for each field."""

    def one_of(words: Mapping[str, object]) -> str:
        """A group of alternatives."""
        return f"({'|'.join(map(re.escape, words))})"

    def clause() -> str:
        """Eight groups: those of two nouns, a verb, and a place."""
        noun = f"(the|an?) (?:{one_of(_ADJECTIVES)} )?"
        return f"{noun}{one_of(_PEOPLE)} {one_of(_VERBS)} {noun}{one_of(_THINGS)}(?: {one_of(_PLACES)})?"

    return re.compile(f"{clause()}(?: {one_of(_TIMES)})?(?: {one_of(LINKS)} {clause()})?")


_PATTERN = _pattern()


def parse(source: str) -> Sentence | None:
    """The sentence that `english` writes so; None if there is none."""
    found = _PATTERN.fullmatch(source)
    if not found:
        return None
    groups = [group or "" for group in found.groups()]

    def clause(part: Sequence[str]) -> Clause:
        """Of its eight groups."""
        return Clause(Noun(part[0] == "the", *part[1:3]), part[3], Noun(part[4] == "the", *part[5:7]), part[7])

    sentence = Sentence(clause(groups[:8]), groups[8], groups[9], clause(groups[10:]) if groups[9] else None)
    return sentence if english(sentence) == source else None


def draw_way(rng: random.Random) -> Way:
    """How somebody translates a sentence, by the weights of CHOICES."""
    return {name: rng.choices([*options], [*options.values()])[0] for name, options in CHOICES.items()}


def ways() -> Iterator[Way]:
    """Every way to translate, also such as differ in what a sentence does not have."""
    return (dict(zip(CHOICES, options, strict=True)) for options in itertools.product(*CHOICES.values()))


def translations(sentence: Sentence) -> set[str]:
    """Every right translation."""
    return {german(sentence, way) for way in ways()}


def german(sentence: Sentence, way: Way) -> str:
    """The translation that is made in this way."""
    hand = 0 if way["hand"] == "north" else 1
    time = _TIMES[sentence.time][hand] if sentence.time else ""
    words = _german_clause(sentence.main, hand, "second", {way["time"]: time}, way["place"])
    if sentence.second:
        links = LINKS[sentence.link]
        link = [*links][-1 if way["link"] == "other" else 0]
        particle = way["particle"] if sentence.link == "because" else ""
        second = _german_clause(sentence.second, hand, links[link], {"middle": particle}, way["second_place"])
        words += [",", link, *second]
    return " ".join(filter(None, words))


def _german_clause(clause: Clause, hand: int, verb: str, adverb: Mapping[str, str], place: str) -> list[str]:
    """The words of a clause, some perhaps empty.

    Args:
        clause: the clause.
        hand: 0 in the north, 1 in the south.
        verb: where the finite verb stands: "second" or "last".
        adverb: a word by its place: "first", "middle" (behind subject and finite verb) or "last" (behind the object).
        place: where the place stands: "before" or "behind" the object.
    """
    past, participle = _VERBS[clause.verb]
    stem, _, prefix = past.partition("+")
    finite, behind = (stem, prefix) if hand == 0 else ("hat", participle)
    where = _PLACES[clause.place][hand] if clause.place else ""
    subject, thing = _german_noun(clause.subject, hand, 0), _german_noun(clause.object, hand, 1)
    rest = [where, thing] if place == "before" else [thing, where]
    rest = [adverb.get("middle", ""), *rest]
    rest.insert(rest.index(thing) + 1, adverb.get("last", ""))
    if verb == "last":
        return [subject, *rest, behind + finite] if hand == 0 else [subject, *rest, behind, finite]
    first = adverb.get("first", "")
    return [*([first, finite, subject] if first else [subject, finite]), *rest, behind]


def _german_noun(noun: Noun, hand: int, case: int) -> str:
    """`den alten Metzger`: 0 is the nominative, 1 the accusative."""
    gender, forms = (_PEOPLE.get(noun.noun) or _THINGS[noun.noun])[hand].split(" ")
    form = forms.split("/")[-1 if case else 0]
    column = case + (0 if noun.definite else 2)
    adjective = f"{_ADJECTIVES[noun.adjective][hand]}{ENDINGS[gender][column]} " if noun.adjective else ""
    return f"{ARTICLES[gender][column]} {adjective}{form}"


def write_pairs(out: Path, train: int, valid: int, test: Sequence[int], seed: int) -> None:
    """Write the data directories train, dev, test_1, ... of that many pairs, and print their sizes.

    No source sentence is in two of them or twice in one; dev and the test sets do not depend on how many pairs of
    training there are.

    Raises:
        UserError: a set would be empty.
    """
    sizes = {"dev": valid, **{f"test_{number}": size for number, size in enumerate(test, 1)}, "train": train}
    if empty := [name for name, size in sizes.items() if size < 1]:
        raise UserError(f"{out / empty[0]}: is to have {sizes[empty[0]]} pairs; ask for one or more")
    taken: set[str] = set()
    sets = {}
    for name, size in sizes.items():
        rng = random.Random(f"{seed} {name}")
        tables: Tables = {"utt2spk": {}, SOURCE: {}, "text": {}}
        while len(tables["text"]) < size:
            sentence, way = draw(rng), draw_way(rng)
            source = english(sentence)
            if source in taken:
                continue
            taken.add(source)
            key = f"{name}-{len(tables['text']) + 1:0{len(str(size))}}"
            tables["utt2spk"][key], tables[SOURCE][key], tables["text"][key] = key, source, german(sentence, way)
        sets[name] = (tables, note(tables, []))
    put_sets(out, sets)


def count_right(text: Path, source: Path) -> tuple[int, int]:
    """How many of the translations in `text` are right ones of what is in `source`, and how many there are.

    Args:
        text: what a model wrote, Kaldi's text form; an empty translation is wrong.
        source: text.src of a set that `write_pairs` wrote, which has the same sentences.

    Raises:
        UserError: the files do not have the same sentences, or the source is none of this grammar.
    """
    written, read = read_table(text, empty=True), read_table(source)
    if differing := sorted(written.keys() ^ read.keys()):
        raise UserError(
            f"{text}: has other sentences than {source} (first: {differing[0]}); name the source of this very set"
        )
    right = 0
    for key, words in read.items():
        sentence = parse(words)
        if sentence is None:
            raise UserError(f"{source}: {key} is no sentence of kdasr data pairs; only these can be checked")
        right += written[key] in translations(sentence)
    return right, len(read)
