"""Newspaper-like sentences for the synthetic demo corpus: a small grammar of our own, in the manner of WSJ.

A rule's name in angle brackets is replaced by one of its expansions, each as likely as the others
unless it ends in ` *N` (N times as likely). Sentences are short (5 to 9 words, 25 to 45
characters), so that training on a CPU stays cheap. `write_marks` turns some of them into what the
WSJ discs hold: marks that Kaldi's normalisation has to remove, rewrite or map to <NOISE>.

`Sentence` keeps three forms of the same utterance, which must never contradict one another:
what the voice says, the line of the `.dot` file, and what Kaldi's normalisation makes of that line.
"""

from __future__ import annotations

import random
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass

from kdasr.errors import UserError

WORDS = (5, 9)  # words a sentence, from and to
CHARACTERS = (25, 45)  # characters a sentence, spaces included, from and to

RULES: dict[str, str] = {
    "sentence": """
        <company> said <profit> <rose> <percent>
        <company> said <profit> <rose> to <money>
        <company> reported <a_good> <quarter>
        <profit> at <company> <rose> <percent>
        <profit> <rose> to <money> <when>
        <profit> <rose> sharply in <month>
        <company> shares <rose> <fraction> to <number99>
        <company> shares <rose> <percent> <when>
        shares of <company> <rose> <when>
        <company> agreed to buy <company> for <money>
        <company> will sell its <industry> unit for <money>
        <company> plans to <build> <a_place> in <city>
        <company> <hired> <surname> as <post>
        <company> named <person> <post>
        <company> named <surname> chief <officer> <when>
        mister <surname> said the <business> <is_state>
        mister <surname> <left> <company> in <month>
        <person> will <leave> the <body> in <month>
        <surname> and <surname> own <percent> of <company>
        <company> owes its banks <money>
        <company> owns <number99> <places> in <region>
        the <commodity> price <rose> to <dollars> <unit>
        <commodity> prices <rose> <fraction> <when>
        <commodity> futures <rose> in heavy trading
        <commodity> exports to <country> <rose> <percent>
        <country> will <import> less <commodity> <year_time>
        <country> and <country> signed a <commodity> treaty
        crude oil <rose> to <dollars> a barrel
        the <currency> <rose> against the <currency>
        the <currency> <rose> <slowly> in <market> trading
        interest rates <rose> to <decimal> percent
        the central bank <moved> its rates <when>
        the yield on the <bond> <rose> to <decimal> percent
        <bond> prices <rose> <slowly> <when>
        <forecaster> expect rates to <fall> <by_when>
        <forecaster> <worry> that inflation will <fall>
        inflation <rose> to <decimal> percent in <month>
        unemployment in <region> <rose> to <decimal> percent
        the <index> index <rose> <decimal> points
        volume was <number99> million shares
        trading was <pace> before the <event>
        the <party> <win> the election in <region>
        the <party> hold <number99> seats in parliament
        <office> <surname> <win> <percent> of the vote
        <office> <surname> will visit <country> in <month>
        voters in <region> <chose> the <measure>
        the senate <voted> the <adjective_law> <measure>
        the <measure> would <cost> taxpayers <money>
        <office> <surname> <opposed> the <measure>
        <a_court> <ruled> <company> in <month>
        <a_court> <dismissed> the suit against <surname>
        a jury found <surname> guilty of <crime>
        <company> will appeal the <court_thing>
        <person> pleaded guilty to <crime>
        <company> settled the <court_thing> for <money>
        police in <city> arrested <number_small> <people>
        <number_small> <people> were <hurt> in the <disaster>
        <a_disaster> <struck> <region> on <day>
        the <disaster> closed <number_small> <places> in <region>
        <weather> is expected in <region> on <day>
        temperatures in <city> <rose> to <number99>
        <day> will be <weather_word> and <weather_word> in <city>
        <snow> fell on <region> for <number_small> days
        <people> in <city> <protested> the <measure>
        workers at <company> <struck_work> on <day>
        the union <wants> a raise of <percent>
        <company> will cut <hundreds> jobs in <region>
        <company> will close <number_small> <places> <by_when>
        the <factory> makes <hundreds> <goods> a <period>
        sales of <goods> <rose> <percent> in <month>
        <goods> from <country> cost <dollars> <each>
        <company> <introduced> a <new> line of <goods>
        <company> <declared> a dividend of <cents>
        the board <met> in <city> on <day>
        the <body> <met> on <month> <ordinal>
        <forecaster> had <expected> a <bigger> <gain>
        it was the <bigger> <gain> since <year>
        <person> was born in <city> in <year>
        <place_the> in <city> <is_state> <year_time>
        <officials> in <city> <declined> to comment
        a <spokes> for <company> <declined> to comment
        <officials> say the <disaster> was <quality>
        the flight from <city> to <city> takes <number_small> hours
        <city> is <number_small> hours from <city>
        <letters> said <profit> <rose> <percent>
        <letters> will buy <company>
    """,
    "company": "<name> <company_kind> *3|<name> and <name> *1|<surname> and <relative> *1|<name> *1",
    "name": "altona|bellwood|castell|delmar|elkhart|falcon|glencoe|harwell|inland|lakeland|nordic|orion|"
    "penrose|rosedale|sterling|tamarack|trident|verona",
    "company_kind": "corporation|incorporated|industries|systems|oil|steel|foods|bank|motors|chemical|airlines|mining|"
    "insurance|financial|group|electric|energy|brothers",
    "relative": "sons|company|partners|associates",
    "letters": "@K. @L. @M.|@B. @T. @R.|@U. @S. <company_kind>",
    "surname": "allen|brady|chandler|cohen|dawson|fisher|garcia|griffin|hughes|kennedy|mason|morgan|nelson|palmer|"
    "perez|reynolds|schmidt|taylor|walker|wong",
    "first": "arthur|carol|donald|george|helen|kevin|martha|peter|robert|thomas",
    "person": "<first> <surname>",
    "profit": "profit *2|net income *2|revenue|sales|earnings|its loss|operating profit|cash flow",
    "rose": "rose *3|fell *3|climbed|slipped|jumped|dropped|gained|tumbled|surged|declined|soared|eased",
    "fall": "rise|fall|climb|slow|drop|improve|worsen",
    "percent": "<number99> percent *4|<decimal> percent",
    "money": "<number99> million dollars *3|<decimal> billion dollars|<hundreds> dollars|<number99> million pounds|"
    "<digit> billion yen|<number99> million francs",
    "dollars": "<number99> dollars|<number99> cents|<digit> dollars",
    "cents": "<number99> cents a share|<digit> dollars a share|a quarter",
    "digit": "one|two|three|four|five|six|seven|eight|nine",
    "teen": "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen",
    "tens": "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety",
    "number99": "<digit> *2|<teen> *3|<tens> *3|<tens> <digit> *4",
    "number_small": "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|several|many",
    "hundreds": "<digit> hundred|<teen> hundred|<digit> thousand|<tens> thousand",
    "decimal": "<digit> point <digit>|<teen> point <digit>",
    "fraction": "an eighth|a quarter|a half|a point|two points|three quarters|five eighths",
    "year": "nineteen <tens> <digit>|nineteen <tens>|nineteen <teen>",
    "year_time": "this year|this month|this week|next year|this winter|next spring|this summer|next autumn",
    "by_when": "by <month>|by <day>|next year|next month|before winter|soon",
    "when": "yesterday|on <day> *3|in <month>|last week|late <day>|early <day>|overnight|today|this morning",
    "month": "january|february|march|april|may|june|july|august|september|october|november|december",
    "day": "monday|tuesday|wednesday|thursday|friday|saturday|sunday",
    "ordinal": "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|twentieth",
    "period": "day|week|month|year",
    "a_good": "a strong|a weak|a record|a dull|a profitable|another poor|its best|its worst",
    "quarter": "quarter|year|summer quarter|fiscal year|spring season|month",
    "industry": "shipping|textile|computer|publishing|drug|railroad|insurance|broadcasting|aircraft|leasing",
    "build": "build|open|close|sell|expand|lease|rebuild",
    "a_place": "a factory|a refinery|a hotel|an office|a warehouse|a pipeline|a power plant",
    "place_the": "the hotel|the harbor|the refinery|the airport|the museum|the bridge|the railroad",
    "places": "factories|hotels|stores|mines|offices|schools|airports|refineries|farms|bridges",
    "factory": "factory|plant|mill|workshop|refinery|division",
    "hired": "hired|fired|praised|sued|replaced",
    "post": "president|chairman|treasurer|director|chief economist",
    "officer": "executive|economist|engineer|lawyer|accountant",
    "left": "left|joined|founded|rescued|bought|audited",
    "leave": "leave|join|address|advise|rejoin",
    "body": "board|committee|council|commission|agency|cabinet|assembly|panel",
    "business": "business|economy|market|plan|company|project|merger|offer|recovery|industry",
    "is_state": "is healthy|is in trouble|is growing|is shrinking|is safe|is too large|needs help|was sold|"
    "will recover|has closed|may fail|is improving",
    "quality": "sound|serious|weak|unusual|minor|costly|simple|difficult|hopeless",
    "commodity": "gold|silver|copper|wheat|corn|cotton|coffee|sugar|cattle|rubber|coal|grain",
    "unit": "an ounce|a pound|a ton|a bushel|a bag",
    "currency": "dollar *2|yen|mark|pound|franc|lira|peso",
    "market": "tokyo|london|frankfurt|zurich|thin|quiet|nervous",
    "slowly": "slightly|sharply|slowly|quickly|again|steadily|modestly",
    "moved": "raised|lowered|held|cut|doubled|froze",
    "bond": "treasury bond|thirty year bond|city bond|five year note|junk bond",
    "forecaster": "economists|analysts|traders|brokers|investors|bankers|dealers|experts",
    "worry": "worry|predict|doubt|fear|believe|deny",
    "index": "industrial|transport|utility|stock|producer price|consumer price|housing",
    "pace": "light|slow|heavy|thin|quiet|nervous|active|brisk",
    "event": "holiday|weekend|election|vote|meeting|report|auction|speech",
    "party": "democrats|republicans|socialists|conservatives|labor party|opposition",
    "win": "won *2|lost *2|expect to win|hope to win",
    "office": "senator|governor|president|mayor|congressman|secretary|judge|general",
    "chose": "approved|rejected|favor|oppose|want|defeated",
    "voted": "passed|rejected|delayed|debated|amended|approved",
    "adjective_law": "new|federal|farm|trade|energy|housing|tax|defense",
    "measure": "bill|tax|budget|treaty|tariff|law|subsidy|reform",
    "cost": "cost|save|give",
    "opposed": "opposes|supports|drafted|signed|vetoed|criticized|defended",
    "a_court": "a federal judge|an appeals court|the supreme court|a state court|a jury",
    "ruled": "ruled against|ruled for|fined|cleared|sued",
    "dismissed": "dismissed|reopened|upheld|rejected|heard",
    "crime": "fraud|theft|bribery|tax evasion|arson",
    "court_thing": "verdict|ruling|lawsuit|fine|case|complaint|dispute|claim",
    "people": "students|farmers|teachers|tourists|miners|nurses|families|drivers|customers|workers|pilots",
    "hurt": "hurt|killed|injured|rescued|trapped",
    "disaster": "storm|flood|fire|earthquake|explosion|drought|blizzard|hurricane",
    "a_disaster": "a storm|a flood|a fire|an earthquake|a drought|a blizzard|a hurricane|a heat wave",
    "struck": "struck|damaged|hit|threatened|isolated",
    "weather": "rain|snow|fog|sunshine",
    "weather_word": "cold|cloudy|sunny|windy|warm|rainy|dry",
    "snow": "snow|rain|hail|ash",
    "protested": "protested|ignored|welcomed|resent|discussed|feared",
    "struck_work": "walked out|went back|voted to strike|stopped work",
    "wants": "wants|demanded|won|rejected|expects",
    "goods": "cars|trucks|radios|televisions|shoes|engines|toys|books|cameras|tires",
    "each": "each|apiece|there|abroad",
    "introduced": "introduced|dropped|unveiled|designed|promised",
    "new": "new|cheap|imported|better|smaller|foreign|used|luxury",
    "declared": "declared|paid|omitted|announced",
    "met": "met|adjourned|gathered|voted",
    "expected": "expected|forecast|predicted|wanted",
    "bigger": "bigger|smaller|largest|steepest|sharpest|smallest",
    "gain": "gain|loss|decline|increase|deficit|surplus|harvest",
    "officials": "officials|diplomats|lawyers|executives|managers|union leaders|investigators",
    "declined": "declined|refused|hesitated|agreed",
    "spokes": "spokesman|spokeswoman|lawyer|trustee",
    "city": "albany|berlin|brussels|chicago|denver|dublin|houston|madrid|milwaukee|paris|stockholm|toronto|warsaw",
    "region": "alaska|arizona|colorado|florida|illinois|kansas|kentucky|nevada|ohio|virginia",
    "country": "argentina|australia|brazil|china|finland|france|greece|italy|mexico|norway|russia|sweden",
    "import": "import|buy|export|produce|ship",
}


@dataclass(frozen=True)
class Sentence:
    """One utterance in three forms, and the noise that its marks speak of."""

    spoken: str  # what the voice is given: lower-case words, a comma for a pause, capitals for spelled letters
    dot: str  # the line of the .dot file, without the utterance id
    reference: str  # what Kaldi's WSJ normalisation makes of `dot`
    burst: str = ""  # "before", "after" or "over" the speech: a noise that `dot` marks; "" is none


def _compile(rules: dict[str, str]) -> dict[str, list[list[str]]]:
    """Rules as lists of expansions, each a list of words and `<rule>` names; weights by repetition."""
    compiled: dict[str, list[list[str]]] = {}
    for name, text in rules.items():
        expansions: list[list[str]] = []
        for part in re.split(r"[|\n]", text):
            match = re.fullmatch(r"\s*(.*?)\s*(?:\*(\d+))?\s*", part)
            if match and match[1]:
                expansions += [match[1].split()] * int(match[2] or 1)
        compiled[name] = expansions
    return compiled


_RULES = _compile(RULES)


def expand(rng: random.Random, rule: str, among: Mapping[str, list[list[str]]] | None = None) -> list[str]:
    """One random expansion of a rule, as words; a spelled letter is `@X.`.

    Args:
        rng: the only source of chance.
        rule: its name.
        among: expansions to choose from instead of all, by rule.
    """
    words: list[str] = []
    for part in rng.choice((among or {}).get(rule) or _RULES[rule]):
        words += expand(rng, part[1:-1], among) if part.startswith("<") else [part]
    return words


def expansions(rule: str) -> list[list[str]]:
    """What a rule may become: lists of words and `<rule>` names, weights by repetition."""
    return _RULES[rule]


def vocabulary() -> set[str]:
    """Every word that the grammar can say (spelled letters as `X.`)."""
    return {
        word.lstrip("@") for expansions in _RULES.values() for words in expansions for word in words if word[0] != "<"
    }


def fits(words: list[str]) -> bool:
    """Whether a sentence has the length that the corpus wants, and says no long word twice."""
    long = [word for word in words if len(word) > 3]
    return (
        WORDS[0] <= len(words) <= WORDS[1]
        and CHARACTERS[0] <= len(" ".join(words)) <= CHARACTERS[1]
        and len(long) == len(set(long))
    )


def draw(rng: random.Random) -> list[str]:
    """A random sentence that fits; long templates are tried again, lest short ones crowd them out."""
    while True:
        template = rng.choice(_RULES["sentence"])
        for _ in range(20):
            words = [word for part in template for word in (expand(rng, part[1:-1]) if part[0] == "<" else [part])]
            if fits(words):
                return words


def write_marks(words: list[str], rng: random.Random, share: float, train: bool) -> Sentence:
    """Write a sentence as a .dot line, with transcript marks in about a `share` of the sentences.

    Marks that stay in the reference (verbalised punctuation, *mispronounced*) are written only for
    training utterances, so that test references are the plain words; words that become <NOISE>
    stay under one utterance in a hundred.
    """
    say = [word[1].upper() if word[0] == "@" else word for word in words]
    plain = [word.lstrip("@") for word in words]
    dot = [word.replace(".", "\\.") for word in plain]  # a spelled letter is "I\." on the discs
    dot = [{"percent": "%percent", "point": ".point"}.get(w, w) if rng.random() < share else w for w in dot]
    reference = [word.upper() for word in plain]
    burst = ""
    if rng.random() < share:
        kind = rng.choices(
            ["pause", "cut", "emphasis", "over", "breath", "comma", "dash", "said_wrong"],
            [20, 10, 25, 25, 6, 5 * train, 5 * train, 4 * train],
        )[0]
        place = rng.randrange(1, len(words) - 1)
        if kind == "pause":
            dot.insert(place, ".")
            say[place - 1] += ","
        elif kind == "cut":
            dot.append("~")  # the recording ends early: a sign without a sound
        elif kind == "emphasis" and plain[place].isalpha() and dot[place].isalpha():
            dot[place] = f"<{dot[place]}>"
        elif kind == "over":
            burst = "over"
            dot.insert(place, rng.choice(["[door_slam>]", "[<door_slam]", "[phone_ring/]", "[<chair_squeak]"]))
        elif kind == "breath":
            burst = rng.choice(["before", "after"])
            at = 0 if burst == "before" else len(dot)
            dot.insert(at, rng.choice(["[loud_breath]", "[throat_clear]", "[door_slam]"]))
            reference.insert(at, "<NOISE>")
        elif kind in ("comma", "dash"):
            dot.insert(place, {"comma": "\\,COMMA", "dash": "--DASH"}[kind])
            reference.insert(place, {"comma": ",COMMA", "dash": "-DASH"}[kind])
            say.insert(place, kind)
        elif kind == "said_wrong" and plain[place].isalpha() and dot[place].isalpha():
            dot[place] = f"*{dot[place]}*"
            reference[place] = f"*{reference[place]}*"
    dot[0] = dot[0][:1].upper() + dot[0][1:]
    return Sentence(" ".join(say), " ".join(dot), " ".join(reference), burst)


def make_sentences(
    count: int, rng: random.Random, share: float, taken: set[str], words: Container[str] | None = None
) -> list[Sentence]:
    """Make `count` distinct sentences.

    Args:
        count: how many.
        rng: the only source of chance.
        share: share of sentences that carry transcript marks.
        taken: plain sentences that may not occur; the new ones are added.
        words: the reference words that may occur (training's); None for a training set.

    Raises:
        UserError: the grammar has no further sentences of these words.
    """
    sentences: list[Sentence] = []
    tries = 0
    while len(sentences) < count:
        tries += 1
        if tries > 5000 * count:
            raise UserError(
                f"--hours: the grammar found only {len(sentences)} of {count} further sentences; ask for other hours"
            )
        plain = draw(rng)
        text = " ".join(plain)
        if text in taken:
            continue
        if words is not None and not all(word.lstrip("@").upper() in words for word in plain):
            continue
        sentence = write_marks(plain, rng, share, train=words is None)
        taken.add(text)
        sentences.append(sentence)
    return sentences


def out_of_vocabulary(train: list[Sentence], test: list[Sentence]) -> set[str]:
    """Words of the test references that occur in no training reference (<NOISE> apart)."""
    known = {word for sentence in train for word in sentence.reference.split()} | {"<NOISE>"}
    return {word for sentence in test for word in sentence.reference.split()} - known
