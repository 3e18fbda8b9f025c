"""Utterances in, records of hypotheses out: reads inputs, batches them by length, encodes, searches, spells.

| axis | meaning |
|---|---|
| B | utterances in a batch |
| T | input frames (F bins each), or samples of a model with a waveform front end |
| E | encoder output |
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kdasr.errors import UserError
from kdasr.files import read_table
from kdasr.search.options import SearchOptions
from kdasr.shards import digest

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from kdasr.search.grid import Found

FRAMES_A_SECOND = 100  # of input features, and of the budget for audio


class Row(NamedTuple):
    """An utterance and where its input is."""

    name: str
    place: str  # an entry of feats.scp, or a path of audio
    seconds: float | None  # of audio, if the data directory says it


class Source(NamedTuple):
    """What is known of a model directory without loading the model."""

    directory: str
    checkpoint: str
    sample_rate: int | None  # of the audio it takes; None if it takes features
    settings: dict[str, str]  # hashes of checkpoint, config and token list


def find_model(directory: str | Path, model_file: str | None) -> Source:
    """Look into a model directory, without importing torch.

    Raises:
        UserError: it is no ESPnet ASR model's, has no checkpoint, or its token directory is another model's.
    """
    import yaml

    from kdasr.espnet import find_checkpoint

    config = Path(directory) / "config.yaml"
    if not config.is_file():
        raise UserError(
            f"{config}: no such file; {directory} is no trained model (train one: kdasr train --out {directory})"
        )
    checkpoint = find_checkpoint(directory, model_file)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        given = yaml.load(config.read_text(encoding="utf-8"), Loader=loader)
        tokens = given["token_list"]
        raw = given["input_size"] is None
    except (yaml.YAMLError, KeyError, TypeError):
        raise UserError(
            f"{config}: is not the config of an ESPnet2 ASR model; copy it again from the training"
        ) from None
    if isinstance(tokens, str):
        tokens = Path(tokens).read_text(encoding="utf-8").split("\n")[:-1]
    listed = hashlib.sha256("".join(f"{token}\n" for token in tokens).encode()).hexdigest()[:16]
    own = Path(directory) / "tokens" / "tokens.txt"
    if own.is_file() and digest(own) != listed:
        raise UserError(f"{own}: is not the token list of {config}; put the one back that the model was trained with")
    rate = None
    if raw:
        rate = str((given.get("frontend_conf") or {}).get("fs", 16000))
        rate = int(rate[:-1]) * 1000 if rate.endswith("k") else int(rate)
    hashes = {"model": digest(checkpoint), "config": digest(config), "tokens": listed}
    return Source(str(directory), str(checkpoint), rate, hashes)


def read_rows(data: str | Path, source: Source) -> list[Row]:
    """The utterances of a data directory, in the order of its feats.scp (or wav.scp, for a model that takes audio)."""
    table = Path(data) / ("wav.scp" if source.sample_rate else "feats.scp")
    if not table.is_file():
        needs = "audio (wav.scp)" if source.sample_rate else "features (feats.scp; kdasr feats)"
        raise UserError(f"{table}: no such file; the model in {source.directory} takes {needs}")
    if source.sample_rate and (Path(data) / "segments").exists():
        raise UserError(
            f"{data}: has segments, which a model with a waveform front end cannot use; cut the audio first"
        )
    places = read_table(table)
    if not places:
        raise UserError(f"{table}: is empty; run the stage that writes it again")
    lengths = Path(data) / "utt2dur"
    seconds = read_table(lengths) if lengths.is_file() else {}
    return [Row(name, place, float(seconds[name]) if name in seconds else None) for name, place in places.items()]


class Engine:
    """A loaded model and its search.

    Args:
        source: the model.
        options: of the search.
        batch_frames: padded input frames x beam in a batch, at most (a single utterance may exceed it).
        device: "cpu", "cuda:0".
    """

    def __init__(self, source: Source, options: SearchOptions, batch_frames: int, device: str = "cpu") -> None:
        import torch

        from kdasr.espnet import load_model
        from kdasr.search.scorers import scorers_of

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        torch.set_flush_denormal(True)  # RNN states decay into denormals, which cost a hundredfold on a CPU
        self.source, self.options, self.batch_frames, self.device = source, options, batch_frames, device
        self.model, self.args = load_model(source.directory, str(Path(source.checkpoint).resolve()), device)
        self.scorers = scorers_of(self.model, options)
        self.spell = speller(source.directory, self.args, self.model.token_list)
        self.encodes_batches = encodes_batches(self.model)

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
        inputs = [(row, self._read(row)) for row in rows]
        for batch in batches(inputs, lambda pair: self._frames(pair[1]), self.batch_frames // self.options.beam):
            for (row, x), found in zip(
                batch, self._search([row for row, _ in batch], [x for _, x in batch]), strict=True
            ):
                frames = self._frames(x)
                yield record(row.name, frames, found, self.spell, self.model.blank_id)
                progress((row.seconds or frames / FRAMES_A_SECOND) / 3600)

    def seconds(self, row: Row, frames: int) -> float:
        """Audio seconds of a row with so many input frames."""
        return row.seconds if row.seconds is not None else frames / FRAMES_A_SECOND

    def _frames(self, x: np.ndarray) -> int:
        return len(x) * FRAMES_A_SECOND // self.source.sample_rate if self.source.sample_rate else len(x)

    def _read(self, row: Row) -> np.ndarray:
        """Features (T, F) or samples (T,) in [-1, 1], float32."""
        import numpy as np

        if self.source.sample_rate:
            from kdasr.data.audio import read_audio

            samples, rate = read_audio(row.place)  # (T,) int16
            if rate != self.source.sample_rate:
                raise UserError(
                    f"{row.name}: {row.place} has {rate} Hz, the model takes {self.source.sample_rate}; resample it"
                )
            return samples.astype(np.float32) / 32768  # (T,)
        import kaldiio

        try:
            x = kaldiio.load_mat(row.place)  # (T, F)
        except (OSError, ValueError, IndexError, AssertionError) as error:
            raise UserError(
                f"{row.name}: {row.place} cannot be read ({error}); make the features again (kdasr feats)"
            ) from error
        size = self.args.input_size
        if x.ndim != 2 or (len(x) and x.shape[1] != size):
            raise UserError(
                f"{row.name}: features of shape {x.shape}, the model takes {size} bins a frame; use its own features"
            )
        if not np.isfinite(x).all():
            raise UserError(
                f"{row.name}: {row.place} holds values that are not numbers; make the features again (kdasr feats)"
            )
        return np.array(x, dtype=np.float32)  # a copy: what is read may be read-only

    def _search(self, rows: Sequence[Row], inputs: Sequence[np.ndarray]) -> list[Found | None]:
        """What was found for each input; None where it is too short to be encoded."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        from kdasr.search.grid import search

        encoded = self._encode([torch.from_numpy(x).to(self.device) for x in inputs])
        found: list[Found | None] = [None] * len(rows)
        usable = [number for number, hs in enumerate(encoded) if hs is not None and len(hs)]
        if not usable:
            return found
        for number in usable:
            if not torch.isfinite(encoded[number]).all():
                raise UserError(
                    f"{rows[number].name}: {self.source.checkpoint} gives values that are not numbers; train again"
                )
        hs = pad_sequence([encoded[number] for number in usable], batch_first=True)  # (B, T, E)
        hlens = torch.tensor([len(encoded[number]) for number in usable], device=hs.device)  # (B,)
        for number, one in zip(usable, search(hs, hlens, self.scorers, self.options), strict=True):
            found[number] = one
        return found

    def _encode(self, inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """Encoder outputs (T', E); together where padding provably changes nothing, else one by one."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        if not self.encodes_batches:
            return [self._encode_one(x) for x in inputs]
        here = [number for number, x in enumerate(inputs) if len(x)]
        encoded: list[Tensor | None] = [None] * len(inputs)
        if here:
            lengths = torch.tensor([len(inputs[number]) for number in here], device=self.device)  # (B,)
            padded = pad_sequence([inputs[number] for number in here], batch_first=True)  # (B, T, F)
            with torch.no_grad():
                hs, hlens = self.model.encode(padded, lengths)  # (B, T', E), (B,)
            for number, row, length in zip(here, hs, hlens.tolist(), strict=True):
                encoded[number] = row[:length]
        return encoded

    def _encode_one(self, x: Tensor) -> Tensor | None:
        """One encoder output (T', E), or None for an input that the encoder's subsampling leaves nothing of."""
        import torch

        from kdasr.espnet import name

        too_short = name("espnet.nets.pytorch_backend.transformer.subsampling:TooShortUttError")
        if not len(x):
            return None
        try:
            with torch.no_grad():
                hs, hlens = self.model.encode(x.unsqueeze(0), torch.tensor([len(x)], device=self.device))
        except too_short:
            return None
        except RuntimeError as error:
            # A convolution or pooling that is wider than its input says so in one of these ways.
            if any(
                words in str(error) for words in ("size can't be greater", "too small", "Padding size should be less")
            ):
                return None
            raise
        hs = hs[0] if isinstance(hs, tuple) else hs  # (1, T', E), without intermediate CTC outputs
        return hs[0, : int(hlens[0])]


@functools.lru_cache(maxsize=1)
def loaded(source_directory: str, checkpoint: str, options: SearchOptions, batch_frames: int, device: str) -> Engine:
    """The engine of this process; loaded once."""
    model_file = str(Path(checkpoint).resolve())
    return Engine(find_model(source_directory, model_file), options, batch_frames, device)


def batches(items: Sequence[Any], length: Callable[[Any], int], budget: int) -> Iterator[list[Any]]:
    """Cut items into batches, longest first, with items x longest within the budget (one item may exceed it)."""
    batch: list[Any] = []
    for item in sorted(items, key=length, reverse=True):
        if batch and (len(batch) + 1) * length(batch[0]) > budget:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def encodes_batches(model: Any) -> bool:
    """Whether encoding an utterance in a batch gives exactly what encoding it alone gives.

    Encoders vouch for it by an attribute `batch_invariant`. ESPnet's do not: its VGG convolutions,
    for one, read the padding.
    """
    parts = (model.frontend, model.preencoder, model.postencoder)
    normalises = type(model.normalize).__name__ in ("NoneType", "GlobalMVN")
    return bool(getattr(model.encoder, "batch_invariant", False)) and normalises and all(part is None for part in parts)


def speller(directory: str | Path, args: Any, token_list: Sequence[str]) -> Callable[[Sequence[int]], str]:
    """A function from token ids to text: the model's token directory's, else ESPnet's own."""
    if (Path(directory) / "tokens" / "tokens.json").is_file():
        from kdasr.data.tokens import load_tokens

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
    """The N-best record of an utterance (see kdasr.nbest.archive); None is one too short to decode."""
    hyps: list[dict[str, Any]] = []
    seen: set[str] = set()
    for hyp in found.hyps if found else []:
        # ESPnet, too, leaves the blank out, which an attention decoder can emit but no text has.
        tokens = [token for token in hyp.tokens if token != blank]
        text = spell(tokens)
        if text not in seen:
            seen.add(text)
            scores = {key: round(value, 5) for key, value in hyp.scores.items()}
            hyps.append(
                {"tokens": tokens, "text": text, "score": round(hyp.score, 5), "scores": scores, "ended": hyp.ended}
            )
    merged = len(found.hyps) - len(hyps) if found else 0
    stop = found.stop if found else "too short"
    if not hyps:
        ended = "none" if found else "too short"
        hyps = [{"tokens": [], "text": "", "score": 0.0, "scores": {}, "ended": ended}]
    return {"id": name, "frames": frames, "hyps": hyps, "duplicates": merged, "stop": stop}


def options_settings(options: SearchOptions) -> dict[str, Any]:
    """Search options as a manifest holds them."""
    return asdict(options)
