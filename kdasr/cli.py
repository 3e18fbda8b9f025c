"""`kdasr VERB`: one entry point. A verb's module is imported only when that verb is called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from kdasr import __version__
from kdasr.errors import exit_status, forgiving_output, speak_utf8

# verb: (module, what it does). A module offers add_arguments(parser) and run(args), has its
# examples in EXAMPLES, and imports torch and ESPnet inside run only: --help must be quick.
VERBS: dict[str, tuple[str, str]] = {
    "data mini": ("kdasr.data.mini", "make the embedded corpus, laid out as WSJ's discs"),
    "data text": ("kdasr.data.articles", "a text for language models: our own, or WSJ's"),
    "data sentences": ("kdasr.data.sentences", "transcripts -> texts for language models"),
    "data wsj": ("kdasr.data.wsj", "WSJ discs -> Kaldi data directories"),
    "data an4": ("kdasr.data.an4", "AN4 -> Kaldi data directories"),
    "data holdout": ("kdasr.data.holdout", "set part of a data directory aside as untranscribed"),
    "data folds": ("kdasr.data.folds", "cut a data directory into parts for cross-fitting"),
    "feats": ("kdasr.data.feats", "data directory -> filterbank features, CMVN, frame counts"),
    "tokens": ("kdasr.data.tokens", "text -> token list (characters or sentencepiece)"),
    "train": ("kdasr.asr.train", "train a teacher or a student"),
    "prune": ("kdasr.prune.prune", "set the smallest weights of a model to zero, for good"),
    "nbest": ("kdasr.nbest.generate", "decode a set into an archive of N-best hypotheses"),
    "nbest verify": ("kdasr.nbest.verify", "check an N-best archive whole"),
    "nbest export": ("kdasr.nbest.export", "N-best archive -> Kaldi-style text and score files"),
    "targets": ("kdasr.nbest.targets", "N-best hypotheses -> a student's training targets"),
    "soft": ("kdasr.nbest.soften", "targets -> what the teacher expects at each of their tokens"),
    "decode": ("kdasr.search.decode", "decode a test set, in ESPnet's output layout"),
    "score": ("kdasr.score.verb", "word and character error rates, as sclite counts them"),
    "ppl": ("kdasr.score.perplexity", "perplexity of a model's decoder on references"),
    "lm words": ("kdasr.lm.text", "text -> vocabulary of a language model"),
    "lm train": ("kdasr.lm.train", "train a language model, by itself or from teachers"),
    "lm soft": ("kdasr.lm.soft", "what teachers expect at each token of a text, stored for students"),
    "lm ppl": ("kdasr.lm.perplexity", "perplexity of a text"),
    "lm report": ("kdasr.lm.report", "language models of an exp directory -> RESULTS.md"),
    "rescore": ("kdasr.lm.rescore", "N-best lists ranked anew with language models"),
    "images data": ("kdasr.images.data", "MNIST's files -> images and labels as one file"),
    "images train": ("kdasr.images.train", "train a classifier of images, by itself or from teachers"),
    "images specialists": ("kdasr.images.specialists", "specialists beside a generalist, for classes it confuses"),
    "images report": ("kdasr.images.report", "classifiers of an exp directory -> RESULTS.md"),
    "frames align": ("kdasr.frames.align", "a CTC model's alignment of a set: which token is spoken when"),
    "frames data": ("kdasr.frames.data", "features and alignment -> frames and their states"),
    "frames train": ("kdasr.frames.train", "train a framewise acoustic model, by itself or from predictions"),
    "frames predict": ("kdasr.frames.predict", "what framewise models expect of each frame of a set"),
    "frames specialists": ("kdasr.frames.specialists", "specialists beside a framewise model"),
    "frames decode": ("kdasr.frames.decode", "predictions of frames -> words"),
    "frames report": ("kdasr.frames.report", "framewise models of an exp directory -> RESULTS_FRAMES.md"),
    "jobs status": ("kdasr.jobs.status", "stages submitted to a cluster, and how they stand"),
    "jobs cancel": ("kdasr.jobs.cancel", "end the stages that wait or run on a cluster"),
    "jobs logs": ("kdasr.jobs.logs", "the end of a submitted stage's log"),
    "report": ("kdasr.report.verb", "exp directories -> RESULTS.md, report.html"),
}


def usage() -> str:
    """The text of `kdasr --help`."""
    verbs = "\n".join(f"  kdasr {verb:<18} {what}" for verb, (_, what) in VERBS.items())
    return (
        f"kdasr {__version__}: make large attention-based speech recognisers small.\n\n{verbs}\n\n"
        "`kdasr VERB --help` shows a verb's options and examples. The recipes in egs/ call these verbs\n"
        "in order: egs/wsj/run.sh --help."
    )


def underscored(word: str) -> str:
    """An option as it is spelled here: Kaldi's scripts take --id-form for --id_form, and so do their users."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0, 1 for an error that a user can mend, 2 for wrong usage."""
    if argv is None:
        speak_utf8()
    forgiving_output()
    status = run(argv)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = 141
    except OSError as error:  # what was printed is lost, on a full disk say
        print(f"kdasr: standard output cannot be written ({error.strerror}); give it another place", file=sys.stderr)
        status = 1
    else:
        return status
    # or Python would try once more when it ends, and complain
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
    verb = next((v for v in (" ".join(words[:2]), words[0]) if v in VERBS), None)
    if verb is None:
        print(usage(), file=sys.stderr)
        print(f"\nkdasr: there is no verb {words[0]!r}", file=sys.stderr)
        return 2
    odd = next((word for word in words if any("\ud800" <= letter <= "\udfff" for letter in word)), None)
    if odd is not None:  # bytes of no text: they could be written into no list
        print(f"kdasr {verb}: {odd!a}: is not UTF-8; rename the file, or give another name", file=sys.stderr)
        return 1
    module = importlib.import_module(VERBS[verb][0])
    parser = argparse.ArgumentParser(
        prog=f"kdasr {verb}",
        description=VERBS[verb][1],
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    args = parser.parse_args([underscored(word) for word in words[len(verb.split()) :]])
    return exit_status(lambda: module.run(args), f"kdasr {verb}")


if __name__ == "__main__":
    sys.exit(main())
