"""Utterances in, records of hypotheses out: reads inputs, sorts them by length, encodes, searches, spells.

| axis | meaning |
|---|---|
| T | input frames (F bins each), or samples of a model with a waveform front end |
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdasr import checkpoints
from kdasr.data.cuts import Recordings, read_cut
from kdasr.data.matrices import read_matrix
from kdasr.data.places import Place
from kdasr.data.source_text import Sentence, source_tokens
from kdasr.data.tokens import UNK, load_tokens, of_config
from kdasr.errors import UserError
from kdasr.espnet import name as of_espnet
from kdasr.models import Models, beside, read_config
from kdasr.networks.load import load_lm, load_model
from kdasr.processor import has_bf16
from kdasr.search import unknown
from kdasr.search.encode import Encoder, finite
from kdasr.search.graphs import recordable
from kdasr.search.grid import Found
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.packed import pack
from kdasr.search.rows import Row
from kdasr.search.scorers import blank_of, scorers_of
from kdasr.search.stream import Utterance, stream
from kdasr.search.watch import Watch

FRAMES_A_SECOND = 100  # of input features, and of the budget for audio
ENCODED = 8_000  # input frames encoded at once on a CPU: RNN layers read their weights once a batch and frame
OTHER_RATE = "has {found} Hz, the model takes {rate}; resample it (--resample)"
SPREAD = 0.8  # shortest to longest utterance of a batch: less would cost more in padding
# The same of a grid's queue. Rows are refilled from it, longest first, so that neighbours in length are in the grid at
# any time; what is padded is cheap beside a grid that runs empty at the end of each queue.
QUEUE_SPREAD = 0.5


class Engine:
    """A loaded model (or ensemble, or one with a language model) and its search.

    Args:
        models: what decodes together.
        options: of the search.
        computing: how it is computed.
        replace_unk: whether unknown words of a translation become those of its source (kdasr.search.unknown).
    """

    def __init__(
        self,
        models: Models,
        options: SearchOptions,
        computing: Computing,
        replace_unk: bool = False,
    ) -> None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        torch.set_flush_denormal(True)  # RNN states decay into denormals, which cost a hundredfold on a CPU
        self.models, self.options, self.computing = models, options, computing
        self.device, bf16 = computing.device, computing.bf16
        if bf16 and not (self.device == "cpu" and has_bf16()):
            raise UserError("--bf16: this processor has no bfloat16 arithmetic; leave it out")
        self.source = models.first  # the models of an ensemble read the same inputs
        networks = [
            load_model(one.directory, str(Path(one.checkpoint).absolute()), self.device, s2t=True)
            for one in models.sources
        ]
        for network, _ in networks:
            pack(network, bf16)
        self.model, self.args = networks[0]
        lm = None
        if models.lm is not None and options.lm_weight != 0.0:
            lm, _ = load_lm(models.lm.directory, str(Path(models.lm.checkpoint).absolute()), self.device)
        s2t = self.source.s2t
        self.scorers = scorers_of([network for network, _ in networks], options, lm, s2t)
        self.spell = speller(self.source.directory, self.args, self.source.tokens)
        samples = s2t.samples if s2t else 0
        self.encoders = [Encoder(network, self.device, samples, bf16) for network, _ in networks]
        self.text = s2t.text if s2t else text_tokens(self.model)  # its tokens that are text -> those of the records
        self.watch = Watch(self.device)
        self.recordings = Recordings()
        self.replace_unk = replace_unk
        if computing.graphs and not recordable(self.scorers):
            raise UserError(
                f"--graphs: {self.source.directory} has a decoder that is run hypothesis by hypothesis; leave it out"
            )
        if replace_unk:
            self._check_unknown()

    def decode(
        self, rows: Sequence[Row], progress: Callable[[float], None] = lambda _: None
    ) -> Iterator[dict[str, Any]]:
        """A record for each row, longest first.

        Args:
            rows: what to decode, all of it read before the first is decoded.
            progress: called with the `amount` of each utterance that is done.

        Raises:
            UserError: an input is missing, or is not what the model takes; the utterance is named.
        """
        inputs = [self.read(row) for row in rows]
        lengths = [self.frames(x) for x in inputs]
        names = [row.name for row in rows]
        for bucket in buckets([self.computed(x) for x in inputs], QUEUE_SPREAD):
            for number, found in self._search({number: inputs[number] for number in bucket}, names):
                made = record(names[number], lengths[number], found, self.spell, self.text)
                yield self._without_unknown(made, rows[number], inputs[number]) if self.replace_unk else made
                progress(self.amount(rows[number], lengths[number]))

    def _check_unknown(self) -> None:
        """UserError unless unknown words of these models can be replaced."""
        if len(self.models.sources) > 1 or not self.source.reads:
            raise UserError("--replace_unk: is of one model that translates; leave it out")
        directory = self.source.directory
        target = of_config(directory, read_config(directory))
        unknown.check(self.scorers.full[0].scorer, source_tokens(directory), target, directory)

    def _without_unknown(self, made: dict[str, Any], row: Row, x: np.ndarray) -> dict[str, Any]:
        """A record whose texts have words of the source in place of unknown ones; x (T,) is its input."""
        names = self.model.token_list
        hyps = [[names[token] for token in hyp["tokens"]] for hyp in made["hyps"]]
        if not any(UNK in hyp for hyp in hyps) or not isinstance(row.place, Sentence):
            return made
        hs = self.encoders[0].encode([torch.from_numpy(x).to(self.device)])[0]  # (S, E)
        source = row.place.text.split()
        for hyp, written in zip(made["hyps"], hyps, strict=True):
            if hs is not None and len(hs) == len(source) + 1 and UNK in written:
                frames = unknown.attended(self.scorers.full[0].scorer, hs, hyp["tokens"], self.model.sos)
                hyp["text"] = unknown.replaced(written, frames, source)
        return made

    def watched(self) -> Watch:
        """A new watch on what it does from now on."""
        self.watch = Watch(self.device)
        return self.watch

    def seconds(self, row: Row, frames: int) -> float:
        """Audio seconds of a row with so many input frames; text has none."""
        if isinstance(row.place, Sentence):
            return 0.0
        return row.seconds if row.seconds is not None else frames / FRAMES_A_SECOND

    def amount(self, row: Row, frames: int) -> float:
        """How much of the source's `unit` a row is, with so many input frames or source tokens."""
        return frames / 1000 if self.source.reads else self.seconds(row, frames) / 3600

    def frames(self, x: np.ndarray) -> int:
        """Input frames of features (T, F), or of samples (T,); the number of source tokens (T,)."""
        return len(x) * FRAMES_A_SECOND // self.source.sample_rate if self.source.sample_rate else len(x)

    def computed(self, x: np.ndarray) -> int:
        """The input frames that the model computes for it: of an S2T model always those of the length that it hears."""
        heard = self.encoders[0].samples
        return heard * FRAMES_A_SECOND // (self.source.sample_rate or 1) if heard else self.frames(x)

    def read(self, row: Row) -> np.ndarray:
        """Features (T, F) or samples (T,) in [-1, 1], float32; source tokens (T,), int64."""
        if isinstance(row.place, Sentence):
            return np.array(row.place.ids)
        if not isinstance(row.place, Place):
            rate = self.source.sample_rate or 0  # it has one: rows of audio are its alone
            samples = read_cut(row.place, self.recordings, rate, OTHER_RATE)  # (T,) int16
            heard = self.encoders[0].samples
            if heard and len(samples) > heard:
                raise UserError(
                    f"{row.name}: has {len(samples) / rate:.1f} s, and {self.source.directory} is an S2T model, which "
                    f"hears {heard / rate:g} s; cut it into utterances (segments), as kdasr decodes none in pieces"
                )
            return samples.astype(np.float32) / 32768  # (T,)
        x = read_matrix(row.name, row.place)  # (T, F)
        if len(x) and x.shape[1] != (size := self.args.input_size):
            raise UserError(
                f"{row.name}: features of shape {x.shape}, the model takes {size} bins a frame; use its own features"
            )
        return np.array(x, dtype=np.float32)  # a copy: what is read may be read-only

    def _search(self, bucket: dict[int, np.ndarray], names: Sequence[str]) -> Iterator[tuple[int, Found | None]]:
        """The result of each input of similar length, with its number; None where it is too short to be encoded."""
        longest = max(self.computed(x) for x in bucket.values())
        slots = max(1, self.computing.batch_frames // max(1, longest * self.options.beam))
        todo = dict(bucket)
        while todo:
            try:
                for number, found in stream(
                    self.encoded(todo, slots, names),
                    self.scorers,
                    self.options,
                    slots,
                    watch=self.watch,
                    graphs=self.computing.graphs,
                ):
                    del todo[number]
                    yield number, found
                for number in list(todo):  # too short for the encoder
                    del todo[number]
                    yield number, None
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if slots == 1:
                    first = next(iter(todo))
                    raise UserError(
                        f"{names[first]}: {self.frames(bucket[first])} frames do not fit into memory with beam "
                        f"{self.options.beam}; give a smaller --beam, or cut the utterance"
                    ) from None
                slots = max(1, min(slots, len(todo)) // 2)
                if self.device != "cpu":
                    torch.cuda.empty_cache()

    def _chunks(self, lengths: dict[int, int], slots: int) -> Iterator[list[int]]:
        """Utterances of these frames, longest first, in the batches in which they are encoded."""
        together = any(encoder.batches for encoder in self.encoders)
        numbers = list(lengths)
        for bucket in buckets(list(lengths.values())):
            size = slots if together else 1
            if together and self.device == "cpu":
                size = max(1, ENCODED // max(1, lengths[numbers[bucket[0]]]))
            for first in range(0, len(bucket), size):
                yield [numbers[n] for n in bucket[first : first + size]]

    def encoded(self, inputs: dict[int, np.ndarray], slots: int, names: Sequence[str]) -> Iterator[Utterance]:
        """Encode inputs, longest first, when they are needed; those of similar length together where that is exact."""
        for chunk in self._chunks({number: self.computed(x) for number, x in inputs.items()}, slots):
            with self.watch.clock("encoder"):
                given = [torch.from_numpy(inputs[number]).to(self.device) for number in chunk]
                encoded = [encoder.encode(given) for encoder in self.encoders]  # of each model, of each input
            ready: dict[int, tuple[Tensor, ...]] = {}  # (S, E) of each model
            for number, *each in zip(chunk, *encoded, strict=True):
                there = tuple(hs for hs in each if hs is not None and len(hs))
                if len(there) == len(each):
                    ready[number] = there
            sources = self.models.sources
            made = [(number, m, hs) for number, there in ready.items() for m, hs in enumerate(there)]
            for (number, m, _), sound in zip(made, finite([hs for *_, hs in made]), strict=True):
                if not sound:
                    raise UserError(
                        f"{names[number]}: {sources[m].checkpoint} gives values that are not numbers; train again"
                    )
            yield from (Utterance(number, there) for number, there in ready.items())


@functools.lru_cache(maxsize=1)
def loaded(models: Models, options: SearchOptions, computing: Computing, replace_unk: bool = False) -> Engine:
    """The engine of this process; loaded once."""
    return Engine(models, options, computing, replace_unk)


def buckets(lengths: Sequence[int], spread: float = SPREAD) -> Iterator[list[int]]:
    """Numbers of utterances of similar length (the shortest at least `spread` of the longest), longest first."""
    bucket: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if bucket and lengths[number] < spread * lengths[bucket[0]]:
            yield bucket
            bucket = []
        bucket.append(number)
    if bucket:
        yield bucket


def text_tokens(model: Any) -> dict[int, int]:
    """A model's tokens that are text, each as it is.

    ESPnet, too, leaves the blank out, which an attention decoder can emit but no text has.
    """
    return {token: token for token in range(len(model.token_list)) if token != blank_of(model)}


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on a GPU or here."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def speller(directory: str | Path, args: Any, token_list: Sequence[str]) -> Callable[[Sequence[int]], str]:
    """A function from token ids to text: the model's token directory's, else ESPnet's own."""
    if (Path(directory) / "tokens" / "tokens.json").is_file():
        for path in (Path(directory) / "tokens").iterdir():
            checkpoints.check_known(path)
        return load_tokens(Path(directory) / "tokens").decode
    if args.token_type is None:
        return lambda ids: " ".join(token_list[i] for i in ids)
    kind = {"token_type": args.token_type}
    if args.token_type == "bpe":
        kind["bpemodel"] = str(beside(directory, str(args.bpemodel), "its sentencepiece model"))
    elif args.token_type == "hugging_face":
        kind["bpemodel"] = args.bpemodel
    tokenizer = of_espnet("espnet2.text.build_tokenizer:build_tokenizer")(**kind)
    return lambda ids: tokenizer.tokens2text([token_list[i] for i in ids])


def record(
    name: str, frames: int, found: Found | None, spell: Callable[[Sequence[int]], str], text: Mapping[int, int]
) -> dict[str, Any]:
    """The N-best record of an utterance (see kdasr.nbest.archive).

    Args:
        name: of the utterance.
        frames: of its input.
        found: what the search found; None for one that is too short to decode.
        spell: token ids of the record -> text.
        text: token ids of the model -> those of the record; others are left out.
    """
    hyps: list[dict[str, Any]] = []
    seen: set[str] = set()
    for hyp in found.hyps if found else []:
        tokens = [text[token] for token in hyp.tokens if token in text]
        spelt = spell(tokens)
        if spelt not in seen:
            seen.add(spelt)
            scores = {key: round(value, 5) for key, value in hyp.scores.items()}
            hyps.append(
                {"tokens": tokens, "text": spelt, "score": round(hyp.score, 5), "scores": scores, "ended": hyp.ended}
            )
    merged = len(found.hyps) - len(hyps) if found else 0
    stop = found.stop if found else "too short"
    if not hyps:
        ended = "none" if found else "too short"
        hyps = [{"tokens": [], "text": "", "score": 0.0, "scores": {}, "ended": ended}]
    return {"id": name, "frames": frames, "hyps": hyps, "duplicates": merged, "stop": stop}
