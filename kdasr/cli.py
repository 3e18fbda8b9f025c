"""`kdasr COMMAND`: one entry point. A command's module is imported only when that command is called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from kdasr import __version__
from kdasr.errors import exit_status, forgiving_output, speak_utf8

# What each does. "lm train" is kdasr/bin/lm_train.py: add_arguments(parser), run(args), and examples in EXAMPLES.
# It imports torch and ESPnet inside run only: --help must be quick.
COMMANDS: dict[str, str] = {
    "data mini": "make the synthetic demo corpus, laid out as WSJ's discs",
    "data text": "a text for language models: our own, or WSJ's",
    "data sentences": "transcripts -> texts for language models",
    "data wsj": "WSJ discs -> Kaldi data directories",
    "data an4": "AN4 -> Kaldi data directories",
    "data own": "your own data directories -> the sets of a recipe",
    "data librispeech": "LibriSpeech, or a corpus in its layout -> Kaldi data directories",
    "data commonvoice": "a language of Common Voice -> Kaldi data directories",
    "data folder": "a folder of audio files without lists -> a Kaldi data directory without text",
    "data parallel": "parallel text, a sentence a line -> a data directory for translation",
    "data pairs": "pairs of sentences of a small grammar, for a demo of translation",
    "data segments": "long recordings -> utterances, cut at pauses",
    "data holdout": "set part of a data directory aside as untranscribed",
    "data transcripts": "a data directory with transcripts from elsewhere, such as a teacher's",
    "data folds": "cut a data directory into parts for cross-fitting",
    "feats": "data directory -> filterbank features, CMVN, frame counts",
    "tokens": "text -> token list (characters, sentencepiece or words)",
    "adopt": "a finished ESPnet model as a teacher",
    "train": "train a teacher or a student",
    "prune": "set the smallest weights of a model to zero, for good",
    "shrink": "make a model smaller: fewer units or layers, low rank; dense",
    "nbest": "decode a set into an archive of N-best hypotheses",
    "nbest verify": "check a whole N-best archive",
    "nbest export": "N-best archive -> Kaldi-style text and score files",
    "nbest import": "hypotheses of Whisper, ESPnet, Kaldi, any system -> N-best archive",
    "targets": "N-best hypotheses -> a student's training targets",
    "soft": "targets -> the teacher's distribution at each of their tokens",
    "decode": "decode a test set, in ESPnet's output layout",
    "export": "a model -> one file that runs without torch",
    "transcribe": "audio -> text, by an exported model",
    "translate": "text -> its translation, by an exported model",
    "score": "word and character error rates as sclite counts them; BLEU of translations",
    "ppl": "perplexity of a model's decoder on references",
    "lm words": "text -> vocabulary of a language model",
    "lm train": "train a language model, from text alone or from teachers, too",
    "lm soft": "the teachers' distributions at each token of a text, stored for students",
    "lm ppl": "perplexity of a text",
    "lm report": "language models of an exp directory -> RESULTS.md",
    "rescore": "rerank N-best lists with language models",
    "frames align": "a CTC model's alignment of a set: which token is spoken when",
    "frames data": "features and alignment -> frames and their states",
    "frames train": "train a framewise acoustic model, from labels or from predictions",
    "frames predict": "predictions of framewise models for each frame of a set",
    "frames specialists": "specialists for states that a framewise model confuses",
    "frames decode": "predictions of frames -> words",
    "frames report": "framewise models of an exp directory -> RESULTS_FRAMES.md",
    "jobs status": "stages submitted to a cluster, and how they stand",
    "jobs cancel": "end the stages that wait or run on a cluster",
    "jobs logs": "the end of a submitted stage's log",
    "report": "exp directories -> RESULTS.md, report.html",
    "claims": "claims and figures -> what is confirmed, with intervals over seeds and utterances",
    "label": "call a model otherwise in tables",
}


def usage() -> str:
    """The text of `kdasr --help`."""
    commands = "\n".join(f"  kdasr {command:<18} {what}" for command, what in COMMANDS.items())
    return (
        f"kdasr {__version__}: make large attention-based speech recognisers small.\n\n{commands}\n\n"
        "`kdasr COMMAND --help` shows a command's options and examples. The recipes in egs/ call these commands\n"
        "in order: egs/wsj/run.sh --help."
    )


def module_of(command: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"kdasr.bin.{command.replace(' ', '_')}")


def underscored(word: str) -> str:
    """An option as it is spelled here: Kaldi's scripts take --id-form for --id_form, and so do their users."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 for an error that a user can correct, 2 for wrong usage."""
    if argv is None:
        speak_utf8()
    return _flushed(lambda: run(argv))


def run_program(module: ModuleType, argv: Sequence[str] | None = None) -> int:
    """Run a program of a recipe's own and return the exit status; options and errors are as those of `kdasr VERB`.

    Args:
        module: EXAMPLES, add_arguments and run, as those of kdasr/bin; of a program that runs, sys.modules[__name__].
        argv: its words; None: those of the process.
    """
    if argv is None:
        speak_utf8()
    name = Path(str(module.__file__)).name
    what = str(module.__doc__).partition("\n")[0]
    return _flushed(lambda: _call(module, name, what, sys.argv[1:] if argv is None else argv))


def _flushed(work: Callable[[], int]) -> int:
    """The exit status of some work, whose output is written out to the end."""
    forgiving_output()
    status = work()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = 141
    except OSError as error:  # output was lost, on a full disk for example
        print(f"kdasr: standard output cannot be written ({error.strerror}); give it another place", file=sys.stderr)
        status = 1
    else:
        return status
    # else Python would try once more when it ends, and print an error
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def run(argv: Sequence[str] | None) -> int:
    """As `main`, its output not yet flushed."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"kdasr {__version__}")
        return 0
    command = next((name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS), None)
    if command is None:
        print(usage(), file=sys.stderr)
        print(f"\nkdasr: there is no command {words[0]!r}", file=sys.stderr)
        return 2
    return _call(module_of(command), f"kdasr {command}", COMMANDS[command], words[len(command.split()) :])


def _call(module: ModuleType, name: str, what: str, words: Sequence[str]) -> int:
    """Read the options of a command from its words, run it, and return its exit status; `what` it does, for --help."""
    odd = next((word for word in words if any("\ud800" <= letter <= "\udfff" for letter in word)), None)
    if odd is not None:  # bytes of no text: they could be written into no list
        print(f"{name}: {odd!a}: is not UTF-8; rename the file, or give another name", file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(
        prog=name,
        description=what,
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    args = parser.parse_args([underscored(word) for word in words])
    return exit_status(lambda: module.run(args), name)


if __name__ == "__main__":
    sys.exit(main())
