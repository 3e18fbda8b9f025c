"""A tiny ESPnet S2T model with random weights, on audio, and stock ESPnet's search of it."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml

from kdasr.data.make_tokens import train_pieces
from kdasr.data.tokens import processor
from kdasr.espnet import name
from kdasr.files import write_table

RATE = 8000
SECONDS = 1.5  # that the model hears
WORDS = ["ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN"]
SYMBOLS = ["<na>", "<nospeech>", "<eng>", "<deu>", "<asr>", "<st_deu>", "<notimestamps>"]
TIMES = [f"<{0.5 * number:.2f}>" for number in range(4)]  # <0.00> to <1.50>
LENGTHS = {"a": 11000, "b": 2600, "c": 12000, "d": 7000}  # samples


def config(directory: Path, **changes: Any) -> dict[str, Any]:
    """A config.yaml, as a dictionary; the sentencepiece model is written into `directory`."""
    lines = [" ".join(pair) for pair in itertools.permutations(WORDS, 2)]
    (directory / "bpe.model").write_bytes(train_pieces(lines, "bpe", 30, [], directory))
    pieces = processor((directory / "bpe.model").read_bytes(), "bpe.model")
    text = [pieces.id_to_piece(number) for number in range(3, len(pieces))]
    given = name("espnet2.tasks.s2t:S2TTask").get_default_config()
    given["preprocessor_conf"] |= {"fs": RATE, "speech_length": SECONDS, "last_time_symbol": TIMES[-1]}
    given |= {
        "token_list": ["<blank>", "<unk>", *SYMBOLS, *TIMES, *text, "<sos>", "<eos>", "<sop>"],
        "token_type": "bpe",
        "bpemodel": "bpe.model",
        "input_size": None,
        "frontend": "default",
        "frontend_conf": {"fs": RATE, "n_fft": 128, "win_length": 128, "hop_length": 64, "n_mels": 8},
        "specaug": None,
        "encoder": "transformer",
        "encoder_conf": {"output_size": 16, "attention_heads": 2, "linear_units": 20, "num_blocks": 1},
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 20, "num_blocks": 2},
    }
    return given | changes


def write_model(directory: Path, seed: int = 0, ends: float = 5.0, **changes: Any) -> Any:
    """A model directory; the model, with output layers scaled up, so that no two scores are near.

    Args:
        directory: to write.
        seed: of the weights.
        ends: how much likelier the end of a hypothesis is.
        changes: of the configuration.
    """
    directory.mkdir(parents=True)
    given = config(directory, **changes)
    torch.manual_seed(seed)
    model = name("espnet2.tasks.s2t:S2TTask").build_model(argparse.Namespace(**given)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(1.5)
        outputs = [model.decoder.output_layer] if model.decoder is not None else []
        for layer in [*outputs, *([model.ctc.ctc_lo] if model.ctc is not None else [])]:
            layer.weight.mul_(4.0)
            layer.bias.normal_()
            layer.bias[model.token_list.index("<1.00>")] += 4.0  # what is not to be written is always the best
        for layer in outputs:
            layer.bias[model.eos] += ends  # so that hypotheses end at all lengths
            layer.bias[[model.token_list.index(one) for one in ("<unk>", "<nospeech>")]] += 4.0
    torch.save(model.state_dict(), directory / "valid.acc.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump(given))
    return model


def write_audio(directory: Path) -> dict[str, np.ndarray]:
    """Noises in a data directory; utterance -> samples, float32."""
    directory.mkdir()
    generator = np.random.default_rng(5)
    said = {}
    for key, length in LENGTHS.items():
        samples = (generator.standard_normal(length) * 3000).astype(np.int16)
        soundfile.write(directory / f"{key}.wav", samples, RATE)
        said[key] = samples.astype(np.float32) / 32768
    write_table(directory / "wav.scp", {key: f"{directory}/{key}.wav" for key in said})
    return said


def stock(directory: Path, said: dict[str, np.ndarray], lang: str, task: str, **options: Any) -> dict[str, list]:
    """The N-best lists of stock ESPnet's Speech2Text: (text without symbols, score) of each."""
    speech2text = name("espnet2.bin.s2t_inference:Speech2Text")(
        str(directory / "config.yaml"),
        str(directory / "valid.acc.ave.pth"),
        bpemodel=str(directory / "bpe.model"),
        lang_sym=lang,
        task_sym=task,
        **options,
    )
    with torch.no_grad():
        return {
            key: [(text, float(hyp.score)) for _, _, _, text, hyp in speech2text(samples)]
            for key, samples in said.items()
        }


def students(model: Any) -> list[str]:
    """The tokens of its students."""
    return ["<blank>", "<unk>", *(token for token in model.token_list if not token.startswith("<")), "<sos/eos>"]


@torch.no_grad()
def encoded(model: Any, samples: np.ndarray) -> torch.Tensor:
    """What the model hears of samples and of the silence behind them (1, S, E)."""
    heard = np.pad(samples, (0, int(RATE * SECONDS) - len(samples)))
    return model.encode(torch.tensor(heard)[None], torch.tensor([len(heard)]))[0]


def of_students(model: Any, logits: torch.Tensor) -> np.ndarray:
    """Outputs (rows, V) as log-probabilities (rows, V of the students): other tokens have no part."""
    columns = [model.token_list.index(token) for token in students(model)[:-1]] + [model.eos]
    return logits[:, columns].log_softmax(-1).numpy()


@torch.no_grad()
def by_hand(model: Any, samples: np.ndarray, prompt: list[str], hyps: list[list[str]]) -> list[np.ndarray]:
    """Log-probabilities (tokens + 1, V of the students) at the steps of hypotheses, each decoded alone."""
    hs, found = encoded(model, samples), []
    for tokens in hyps:
        ys = torch.tensor([[model.token_list.index(token) for token in ["<sos>", *prompt, "<notimestamps>", *tokens]]])
        logits = model.decoder(hs, torch.tensor([hs.shape[1]]), ys, torch.tensor([ys.shape[1]]))[0][0]
        found.append(of_students(model, logits[len(prompt) + 1 :]))
    return found
