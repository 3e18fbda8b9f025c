"""Language models as scores of N-best lists: directories, vocabularies, and the lists as ids of words."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from kdasr.data.tokens import UNK, of_config
from kdasr.errors import UserError
from kdasr.lm.text import Words, load_vocabulary
from kdasr.lm.trie import Network, network_of, score_lists
from kdasr.lm.weights import Lists
from kdasr.networks.load import load_lm

MOST_UNKNOWN = 0.5  # share of unknown words above which lists and a vocabulary are refused as not belonging together


class Mixture(NamedTuple):
    """Language models whose probabilities are averaged, as one score."""

    name: str
    directories: tuple[str, ...]


class Unknown(NamedTuple):
    """Words of all hypotheses that a vocabulary does not have."""

    words: int  # or characters, or pieces: what the model predicts
    unknown: int  # <unk>
    rare: int  # <rnn_unk>


def parse_lms(words: Sequence[str]) -> list[Mixture]:
    """`[NAME=]A+B` as mixtures; UserError if two have one name."""
    mixtures: list[Mixture] = []
    for word in words:
        name, _, text = word.rpartition("=")
        directories = (text,) if Path(text).is_dir() else tuple(filter(None, text.split("+")))
        name = name or "+".join(Path(one).name for one in directories)
        if not directories:
            raise UserError(f"--lm {word}: names no language model; give its directory")
        if name in [mixture.name for mixture in mixtures]:
            raise UserError(f"--lm {word}: there is another score {name!r}; name this one, as in --lm lm2={text}")
        mixtures.append(Mixture(name, directories))
    return mixtures


def score(lists: Lists, mixture: Mixture, nbest: object, history: int, device: str) -> dict[str, Any]:
    """Add a mixture's log probabilities to the lists.

    Args:
        lists: to score.
        mixture: by what.
        nbest: where the lists come from, for messages.
        history: as `kdasr.lm.trie.score_lists`.
        device: "cpu", "cuda:0".

    Returns:
        Words, unknown and rare ones of them, steps of the model one by one and in the tree, CPU seconds.

    Raises:
        UserError: as `load_mixture` and `encode`.
    """
    torch.set_flush_denormal(True)
    networks, vocabulary = load_mixture(mixture, device)
    ids, shares, unknown = encode(lists, vocabulary, mixture, nbest)
    ends = [*lists.starts[1:], len(ids)]
    parts = [ids[start:stop] for start, stop in zip(lists.starts, ends, strict=True)]
    began = time.process_time()
    steps = unknown.words + len(ids)
    with tqdm(total=steps, desc=mixture.name, unit="words", unit_scale=True, disable=None, file=sys.stderr) as bar:
        found, work = score_lists(networks, parts, history, bar.update)
    lists.add(mixture.name, np.concatenate(found) + shares)
    return {**unknown._asdict(), **work._asdict(), "cpu_seconds": round(time.process_time() - began, 2)}


def load_mixture(mixture: Mixture, device: str = "cpu") -> tuple[list[Network], Any]:
    """The networks of a mixture as `kdasr.lm.trie` takes them, and their vocabulary.

    Raises:
        UserError: one is no language model, has no state of fixed size, or has another vocabulary.
    """
    networks: list[Network] = []
    first = None
    for directory in mixture.directories:
        lm, config = load_lm(directory, None, device)
        networks.append(network_of(lm, directory, config.lm))
        vocabulary = vocabulary_of(directory, vars(config))
        first = vocabulary if first is None else first
        if vocabulary != first:
            raise UserError(
                f"--lm {directory}: has another vocabulary than {mixture.directories[0]}; name models of one"
            )
    return networks, first


def vocabulary_of(directory: str | Path, config: dict[str, Any]) -> Any:
    """A language model's vocabulary: of its token directory, or, if ESPnet has trained it, of its configuration.

    Raises:
        UserError: it is not that of the model, or a file of it is gone.
    """
    listed = list(config["token_list"])
    tokens = Path(directory) / "tokens"
    if tokens.is_dir():
        vocabulary = load_vocabulary(tokens)
        if vocabulary.list != listed:
            raise UserError(f"{tokens}: are not the tokens of {directory}/config.yaml; copy the model again")
        return vocabulary
    if UNK not in listed:
        raise UserError(f"{directory}/config.yaml: its token list has no {UNK}; name another language model")
    return Words(listed) if config.get("token_type") == "word" else of_config(directory, config)


def encode(
    lists: Lists, vocabulary: Any, mixture: Mixture, nbest: object
) -> tuple[list[np.ndarray], np.ndarray, Unknown]:
    """The ids of each hypothesis, the logarithms of its rare words' shares of their class (R,), and what is unknown.

    Raises:
        UserError: the vocabulary has not even half of the words of the first hypotheses.
    """
    shares = vocabulary.log_share if isinstance(vocabulary, Words) else {}
    unknown = vocabulary.ids[UNK]
    ids = [np.array(vocabulary.encode(text), dtype=np.int64) for text in lists.texts]
    share = np.zeros(len(ids))
    rare = 0
    if shares:
        for place, text in enumerate(lists.texts):
            found = [shares[word] for word in text.split() if word in shares]
            share[place], rare = sum(found), rare + len(found)
    best = [(place, (ids[place] == unknown).sum(), len(ids[place])) for place in lists.starts]
    if sum(lacking for _, lacking, _ in best) > MOST_UNKNOWN * sum(size for _, _, size in best):
        utterance, place = next((k, one) for k, (one, lacking, _) in enumerate(best) if lacking)
        raise UserError(
            f"{nbest}: {lists.ids[utterance]}: most of {lists.texts[place][:60]!r} and of the other best hypotheses is "
            f"unknown to {mixture.directories[0]}; name a language model of such text (check upper and lower case)"
        )
    return ids, share, Unknown(sum(map(len, ids)), int(sum((one == unknown).sum() for one in ids)), rare)
