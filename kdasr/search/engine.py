"""Utterances in, records of hypotheses out: reads inputs, sorts them by length, encodes, searches, spells.

| axis | meaning |
|---|---|
| T | input frames (F bins each), or samples of a model with a waveform front end |
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kdasr.data.made import check_made
from kdasr.data.matrices import check_archives, read_matrix
from kdasr.data.places import Place, parse_table
from kdasr.errors import UserError
from kdasr.files import read_numbers, read_table
from kdasr.models import Models, Source
from kdasr.search.options import SearchOptions

if TYPE_CHECKING:
    import numpy as np

    from kdasr.search.grid import Found
    from kdasr.search.stream import Utterance

FRAMES_A_SECOND = 100  # of input features, and of the budget for audio
SPREAD = 0.8  # shortest to longest utterance of a grid: what is lost to padding, against how long a queue refills it


class Row(NamedTuple):
    """An utterance and where its input is."""

    name: str
    place: Place  # of its features or its audio
    seconds: float | None  # of audio, if the data directory says it


def read_rows(data: str | Path, source: Source) -> list[Row]:
    """The utterances of a data directory, in the order of its feats.scp (or wav.scp, for a model that takes audio).

    Raises:
        UserError: a list is missing, empty or malformed, holds a command, an archive of it was changed, or its features
            are known to be others than the model was trained on.
    """
    table = Path(data) / ("wav.scp" if source.sample_rate else "feats.scp")
    if not table.is_file():
        needs = "audio (wav.scp)" if source.sample_rate else "features (feats.scp; kdasr feats)"
        raise UserError(f"{table}: no such file; the model in {source.directory} takes {needs}")
    if source.sample_rate and (Path(data) / "segments").exists():
        raise UserError(
            f"{data}: has segments, which a model with a waveform front end cannot use; cut the audio first"
        )
    places = parse_table(read_table(table), table)
    if not places:
        raise UserError(f"{table}: is empty; run the stage that writes it again")
    if not source.sample_rate:
        check_made(places, source.directory)
        check_archives(places, "make the features again (kdasr feats)")
    lengths = Path(data) / "utt2dur"
    seconds = read_numbers(lengths) if lengths.is_file() else {}
    return [Row(name, place, seconds.get(name)) for name, place in places.items()]


class Engine:
    """A loaded model (or ensemble, or one with a language model) and its search.

    Args:
        models: what decodes together.
        options: of the search.
        batch_frames: padded input frames x beam in a grid, at most (a single utterance may exceed it).
        device: "cpu", "cuda:0".
    """

    def __init__(self, models: Models, options: SearchOptions, batch_frames: int, device: str = "cpu") -> None:
        import torch

        from kdasr.espnet import load_lm, load_model
        from kdasr.search.encode import Encoder
        from kdasr.search.scorers import scorers_of
        from kdasr.search.watch import Watch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        torch.set_flush_denormal(True)  # RNN states decay into denormals, which cost a hundredfold on a CPU
        self.models, self.options, self.batch_frames, self.device = models, options, batch_frames, device
        self.source = models.first  # the models of an ensemble read the same inputs
        networks = [load_model(one.directory, str(Path(one.checkpoint).resolve()), device) for one in models.sources]
        self.model, self.args = networks[0]
        lm = None
        if models.lm is not None and options.lm_weight != 0.0:
            lm, _ = load_lm(models.lm.directory, str(Path(models.lm.checkpoint).resolve()), device)
        self.scorers = scorers_of([network for network, _ in networks], options, lm)
        self.spell = speller(self.source.directory, self.args, self.model.token_list)
        self.encoders = [Encoder(network, device) for network, _ in networks]
        self.watch = Watch(device)

    def decode(
        self, rows: Sequence[Row], progress: Callable[[float], None] = lambda _: None
    ) -> Iterator[dict[str, Any]]:
        """A record for each row, longest first.

        Args:
            rows: what to decode, all of it read before the first is decoded.
            progress: told the hours of audio of each utterance done.

        Raises:
            UserError: an input is missing, or is not what the model takes; the utterance is named.
        """
        inputs = [self.read(row) for row in rows]
        lengths = [self.frames(x) for x in inputs]
        names = [row.name for row in rows]
        for bucket in buckets(lengths):
            for number, found in self._search({number: inputs[number] for number in bucket}, names):
                yield record(names[number], lengths[number], found, self.spell, self.model.blank_id)
                progress(self.seconds(rows[number], lengths[number]) / 3600)

    def seconds(self, row: Row, frames: int) -> float:
        """Audio seconds of a row with so many input frames."""
        return row.seconds if row.seconds is not None else frames / FRAMES_A_SECOND

    def frames(self, x: np.ndarray) -> int:
        """Input frames of features (T, F), or of samples (T,)."""
        return len(x) * FRAMES_A_SECOND // self.source.sample_rate if self.source.sample_rate else len(x)

    def read(self, row: Row) -> np.ndarray:
        """Features (T, F) or samples (T,) in [-1, 1], float32."""
        import numpy as np

        if self.source.sample_rate:
            from kdasr.data.audio import read_audio

            samples, rate = read_audio(row.place, row.name)  # (T,) int16
            if rate != self.source.sample_rate:
                raise UserError(
                    f"{row.name}: {row.place.entry()} has {rate} Hz, the model takes {self.source.sample_rate}; "
                    "resample it"
                )
            return samples.astype(np.float32) / 32768  # (T,)
        x = read_matrix(row.name, row.place)  # (T, F)
        if len(x) and x.shape[1] != (size := self.args.input_size):
            raise UserError(
                f"{row.name}: features of shape {x.shape}, the model takes {size} bins a frame; use its own features"
            )
        return np.array(x, dtype=np.float32)  # a copy: what is read may be read-only

    def _search(self, bucket: dict[int, np.ndarray], names: Sequence[str]) -> Iterator[tuple[int, Found | None]]:
        """What is found for each input of similar length, by number; None where it is too short to be encoded."""
        import torch

        from kdasr.search.stream import stream

        longest = max(self.frames(x) for x in bucket.values())
        slots = max(1, self.batch_frames // max(1, longest * self.options.beam))
        todo = dict(bucket)
        while todo:
            try:
                for number, found in stream(
                    self.encoded(todo, slots, names), self.scorers, self.options, slots, watch=self.watch
                ):
                    del todo[number]
                    yield number, found
                for number in list(todo):  # what the encoder left nothing of
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

    def encoded(self, inputs: dict[int, np.ndarray], slots: int, names: Sequence[str]) -> Iterator[Utterance]:
        """Inputs encoded as they are asked for, `slots` at a time where they can go together."""
        import torch

        from kdasr.search.stream import Utterance

        numbers = list(inputs)
        size = slots if any(encoder.batches for encoder in self.encoders) else 1
        for first in range(0, len(numbers), size):
            chunk = numbers[first : first + size]
            with self.watch.clock("encoder"):
                given = [torch.from_numpy(inputs[number]).to(self.device) for number in chunk]
                encoded = [encoder.encode(given) for encoder in self.encoders]  # of each model, of each input
            for number, *each in zip(chunk, *encoded, strict=True):
                there = tuple(hs for hs in each if hs is not None and len(hs))  # (T, E) of each model
                if len(there) < len(each):
                    continue
                for hs, source in zip(there, self.models.sources, strict=True):
                    if not torch.isfinite(hs).all():
                        raise UserError(
                            f"{names[number]}: {source.checkpoint} gives values that are not numbers; train again"
                        )
                yield Utterance(number, there)


@functools.lru_cache(maxsize=1)
def loaded(models: Models, options: SearchOptions, batch_frames: int, device: str) -> Engine:
    """The engine of this process; loaded once."""
    return Engine(models, options, batch_frames, device)


def buckets(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of utterances of similar length (within SPREAD) together, longest first."""
    bucket: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if bucket and lengths[number] < SPREAD * lengths[bucket[0]]:
            yield bucket
            bucket = []
        bucket.append(number)
    if bucket:
        yield bucket


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on a GPU or here."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def speller(directory: str | Path, args: Any, token_list: Sequence[str]) -> Callable[[Sequence[int]], str]:
    """A function from token ids to text: the model's token directory's, else ESPnet's own."""
    if (Path(directory) / "tokens" / "tokens.json").is_file():
        from kdasr import checkpoints
        from kdasr.data.tokens import load_tokens

        for path in (Path(directory) / "tokens").iterdir():
            checkpoints.check_known(path)
        return load_tokens(Path(directory) / "tokens").decode
    from kdasr.espnet import name

    if args.token_type is None:
        return lambda ids: " ".join(token_list[i] for i in ids)
    kind = {"token_type": args.token_type}
    if args.token_type in ("bpe", "hugging_face"):
        kind["bpemodel"] = args.bpemodel
    tokenizer = name("espnet2.text.build_tokenizer:build_tokenizer")(**kind)
    return lambda ids: tokenizer.tokens2text([token_list[i] for i in ids])


def record(
    name: str, frames: int, found: Found | None, spell: Callable[[Sequence[int]], str], blank: int
) -> dict[str, Any]:
    """The N-best record of an utterance (see kdasr.nbest.archive); None is one too short to decode.

    Soft targets stand in its hypotheses as "soft" (see kdasr.nbest.soft).
    """
    hyps: list[dict[str, Any]] = []
    seen: set[str] = set()
    for hyp in found.hyps if found else []:
        # ESPnet, too, leaves the blank out, which an attention decoder can emit but no text has.
        places = [place for place, token in enumerate(hyp.tokens) if token != blank]
        tokens = [hyp.tokens[place] for place in places]
        text = spell(tokens)
        if text not in seen:
            seen.add(text)
            scores = {key: round(value, 5) for key, value in hyp.scores.items()}
            hyps.append(
                {"tokens": tokens, "text": text, "score": round(hyp.score, 5), "scores": scores, "ended": hyp.ended}
            )
            if hyp.soft is not None:  # a row for each token that is left, and the last one for <eos>
                rows = places + list(range(len(hyp.tokens), len(hyp.soft[0])))
                hyps[-1]["soft"] = tuple(part.numpy()[rows] for part in hyp.soft)  # ids (n, J), logp (n, J)
    merged = len(found.hyps) - len(hyps) if found else 0
    stop = found.stop if found else "too short"
    if not hyps:
        ended = "none" if found else "too short"
        hyps = [{"tokens": [], "text": "", "score": 0.0, "scores": {}, "ended": ended}]
    return {"id": name, "frames": frames, "hyps": hyps, "duplicates": merged, "stop": stop}


def options_settings(options: SearchOptions) -> dict[str, Any]:
    """Search options as a manifest holds them."""
    return asdict(options)
