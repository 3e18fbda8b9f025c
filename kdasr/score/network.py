"""Alignment where a text is a network: alternations, null words, and words that sclite may forgive (-D, -F).

sclite (NIST SCTK: net_dp.c, word.c) aligns two networks whose arcs are words. A cell of its table belongs to an arc
of the reference and one of the hypothesis; it looks back at every arc that ends where its own arc begins. Costs are
those of kdasr.score.align, and 0.001 to pass a null word, 2 to leave out an optional word. Sums are single floats.
Of equal costs the way written first is taken; match or substitution before insertion before deletion.

Axes: N arcs of the reference, M arcs of the hypothesis, each with the start as arc 0.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from kdasr.errors import UserError
from kdasr.score.align import Aligned, align_words, normal
from kdasr.score.characters import characters
from kdasr.score.trn import NULL, Alternation, Line, Word

SINGLE = struct.Struct("f")
SUBSTITUTION = 4.0
GAP = 3.0  # of a word against nothing: insertion or deletion
OMITTED = 2.0  # of an optional word against nothing
PASSED = SINGLE.unpack(SINGLE.pack(0.001))[0]  # of a null word against nothing
NULLS = 1.0  # of a null word against a null word


@dataclass(frozen=True)
class Arc:
    """A word of a network."""

    word: str
    inner: bytes  # as it is compared: an optional word without its parentheses
    gap: float  # cost against nothing
    fragment: bool
    before: tuple[int, ...]  # the arcs that end where this one begins, as written

    @cached_property
    def null(self) -> bool:
        """Whether it is a null word."""
        return self.gap == PASSED

    @cached_property
    def optional(self) -> bool:
        """Whether it may be left out."""
        return self.gap == OMITTED


def aligned(
    ref: Sequence[Line],
    hyp: Sequence[Line],
    case_sensitive: bool = False,
    optional: bool = False,
    fragments: bool = False,
    chars: bool = False,
) -> list[Aligned]:
    """Align each reference line with the hypothesis line beside it, as sclite would.

    Lines of plain words go through `align_words` together, the others one by one through their networks.

    Args:
        ref: in the order of the hypothesis (`trn.matched`).
        hyp: one for each.
        case_sensitive: whether A is not a (sclite's -s).
        optional: a word in parentheses, `(uh)`, is correct where it is left out (-D): it then stands beside ""
            with operation C.
        fragments: `wor-` matches a word that begins so, `-ord` one that ends so (-F).
        chars: align the characters of the lines' words (-e utf-8 -c); not with `optional` or `fragments`.

    Returns:
        One for each line, with the words (or characters) of the way that was taken; null words are left out.

    Raises:
        UserError: `chars` with another one.
    """
    if chars and (optional or fragments):
        raise UserError("characters are not scored with optional words or fragments; leave out one or the other")
    lines = list(zip(ref, hyp, strict=True))
    words = set(chain.from_iterable(line.words for two in lines for line in two))
    special = {word for word in words if _special(word, optional, fragments, chars)}
    plain = [special.isdisjoint(left.words) and special.isdisjoint(right.words) for left, right in lines]
    sides = [[line.words for line, is_plain in zip(side, plain, strict=True) if is_plain] for side in (ref, hyp)]
    if chars:
        sides = [list(map(characters, side)) for side in sides]
    together = zip(*sides, align_words(*sides, case_sensitive), strict=True)
    result = []
    for (left, right), is_plain in zip(lines, plain, strict=True):
        rules = case_sensitive, optional, fragments, chars
        found = next(together) if is_plain else align_networks(left.words, right.words, *rules)
        result.append(Aligned(right.id, *found, left.notes))
    return result


def _special(word: Word, optional: bool, fragments: bool, chars: bool) -> bool:
    if isinstance(word, Alternation):
        return True
    if chars:
        return NULL in word
    if not optional and not fragments:
        return word in (NULL, NULL + "*")  # a final asterisk is no part of a word
    arc = _arc(word, (), True, optional, fragments)
    return arc.null or arc.optional or arc.fragment


def align_networks(
    ref: Sequence[Word],
    hyp: Sequence[Word],
    case_sensitive: bool = False,
    optional: bool = False,
    fragments: bool = False,
    chars: bool = False,
) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """The words of either side that lie on the cheapest way, "" for an optional word's gap, and the operations."""
    rules = case_sensitive, optional, fragments
    networks = [network(words, *rules) for words in (ref, hyp)]
    if chars:
        networks = [_cut(*one, case_sensitive) for one in networks]
    (left, left_ends), (right, right_ends) = networks
    costs = _costs(left, right)
    _, a, b = _least(costs, left_ends, right_ends)
    steps: list[tuple[str, str, str]] = []
    while a or b:
        before_a, before_b = _back(costs, left, right, a, b)
        if before_a == a:
            if not right[b].null:
                steps.append(("C" if right[b].optional else "I", "", right[b].word))
        elif before_b == b:
            if not left[a].null:
                steps.append(("C" if left[a].optional else "D", left[a].word, ""))
        elif not (left[a].null and right[b].null):
            steps.append(("C" if same(left[a], right[b]) else "S", left[a].word, right[b].word))
        a, b = before_a, before_b
    steps.reverse()
    return (
        tuple(word for operation, word, _ in steps if operation != "I"),
        tuple(word for operation, _, word in steps if operation != "D"),
        "".join(operation for operation, _, _ in steps),
    )


def network(
    words: Sequence[Word], case_sensitive: bool = False, optional: bool = False, fragments: bool = False
) -> tuple[list[Arc], tuple[int, ...]]:
    """A text's arcs, each after those it follows, and the arcs that end the text."""
    arcs = [Arc("", b"", 0.0, False, ())]  # the start

    def add(words: Sequence[Word], before: tuple[int, ...]) -> tuple[int, ...]:
        for word in words:
            if isinstance(word, Alternation):
                before = tuple(end for way in word.ways for end in add(way, before))
            else:
                arcs.append(_arc(word, before, case_sensitive, optional, fragments))
                before = (len(arcs) - 1,)
        return before

    return arcs, add(words, (0,))


def _cut(arcs: list[Arc], ends: tuple[int, ...], case_sensitive: bool) -> tuple[list[Arc], tuple[int, ...]]:
    """The network of a network's characters.

    sclite replaces one arc after the other by its characters, and appends those that end at a node to the node's
    list. So where ways meet, the words of one character come first, the others in the order of its traversal.
    """
    leaving: dict[tuple[int, ...], list[int]] = {}  # a node's arcs; a node is known by those that end there
    target: dict[int, tuple[int, ...]] = {end: ends for end in ends}
    for number, arc in enumerate(arcs[1:], 1):
        leaving.setdefault(arc.before, []).append(number)
        target |= {end: arc.before for end in arc.before}
    rank: dict[int, int] = {}
    pending, seen = [target[0]], {target[0]}
    while pending:
        node = pending.pop()
        for number in leaving.get(node, []):
            rank[number] = len(rank) if len(arcs[number].inner.decode()) > 1 else -1
            if target[number] not in seen:
                seen.add(target[number])
                pending.append(target[number])

    cut, last = [arcs[0]], {0: 0}

    def after(before: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(last[number] for number in sorted(before, key=lambda number: rank.get(number, -1)))

    for number, arc in enumerate(arcs[1:], 1):
        before = after(arc.before)
        for char in characters([arc.word]):
            cut.append(_arc(char, before, case_sensitive, False, False))
            before = (len(cut) - 1,)
        last[number] = before[0]
    return cut, after(ends)


def _arc(word: str, before: tuple[int, ...], case_sensitive: bool, optional: bool, fragments: bool) -> Arc:
    key = normal(word, case_sensitive)
    gap, ending = GAP, b"-"
    if key == NULL.encode():
        gap = PASSED
    if optional and key.startswith(b"(") and key.endswith(b")"):
        gap, ending = OMITTED, b"-)"
    fragment = fragments and (key.startswith(b"-") or key.endswith(ending))
    return Arc(word, key[1:-1] if gap == OMITTED else key, gap, fragment, before)


def same(left: Arc, right: Arc) -> bool:
    """Whether sclite takes two words for one: a fragment for any word that it may be the beginning or end of."""
    one, other = left.inner, right.inner
    if left.fragment or right.fragment:
        for part, whole in ((one, other), (other, one)):
            if len(part) > 1 and part.startswith(b"-"):
                return whole.endswith(part[1:])
            if len(part) > 1 and part.endswith(b"-"):
                return whole.startswith(part[:-1])
    return one == other


def _costs(left: list[Arc], right: list[Arc]) -> list[list[float]]:
    """Cheapest way from the start to the end of each pair of arcs, (N, M)."""
    rounds = any(arc.null for arc in (*left, *right))  # the other costs are whole numbers
    costs: list[list[float]] = []
    for arc in left:
        above = [min(cells) for cells in zip(*(costs[a] for a in arc.before), strict=True)]  # (M,), or none
        row = [_single(above[0] + arc.gap) if above else 0.0]
        for b, word in enumerate(right[1:], 1):
            one = len(word.before) == 1  # as nearly everywhere
            least = (row[word.before[0]] if one else min(row[k] for k in word.before)) + word.gap
            if above:
                least = min(least, above[b] + arc.gap)
                diagonal = above[word.before[0]] if one else min(above[k] for k in word.before)
                if diagonal < least:
                    least = min(least, diagonal + _beside(arc, word))
            row.append(_single(least) if rounds else least)
        costs.append(row)
    return costs


def _back(costs: list[list[float]], left: list[Arc], right: list[Arc], a: int, b: int) -> tuple[int, int]:
    """The cell from which a cell is reached: a stays for an insertion, b for a deletion."""
    insertion = deletion = substitution = (float("inf"), 0, 0)
    if b:
        insertion = _least(costs, (a,), right[b].before, right[b].gap)
    if a:
        deletion = _least(costs, left[a].before, (b,), left[a].gap)
    if a and b:
        substitution = _least(costs, left[a].before, right[b].before, _beside(left[a], right[b]))
    if substitution[0] <= deletion[0] and substitution[0] <= insertion[0]:
        return substitution[1:]
    return deletion[1:] if deletion[0] < insertion[0] else insertion[1:]


def _beside(left: Arc, right: Arc) -> float:
    if left.null and right.null:
        return NULLS
    return 0.0 if same(left, right) else SUBSTITUTION


def _least(
    costs: list[list[float]], rows: tuple[int, ...], columns: tuple[int, ...], step: float = 0.0
) -> tuple[float, int, int]:
    """The cheapest of some cells, the first of equals, rows outermost; its cost is that after a further step."""
    cost, row, column = min(
        ((costs[row][column], row, column) for row in rows for column in columns), key=lambda cell: cell[0]
    )
    return _single(cost + step), row, column


def _single(cost: float) -> float:
    """In single precision, whose rounding decides between some ways."""
    return SINGLE.unpack(SINGLE.pack(cost))[0]
