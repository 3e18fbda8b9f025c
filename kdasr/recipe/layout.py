"""Which directory holds what: names that follow from the options of utils/kd.sh."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

from kdasr.recipe.kd_options import Options
from kdasr.recipe.student import StudentRecipe


@dataclass(frozen=True)
class Layout:
    """The directories of a run."""

    options: Options

    @property
    def feats(self) -> str:
        """Features of all sets, or the text that is translated."""
        return f"{self.options.dumpdir}/{'text' if self.options.translates else self.options.feats_type}"

    @property
    def results(self) -> str:
        """The table of recognisers."""
        return self.options.results or f"{self.options.expdir}/RESULTS.md"

    @property
    def lm_results(self) -> str:
        """The table of language models."""
        return self.options.lm_results or f"{self.options.expdir}/lm/RESULTS.md"

    @property
    def train_all(self) -> str:
        """Features of the training set; empty: nothing is transcribed."""
        if self.options.audio_alone:
            return ""
        return f"{self.feats}/{self.options.train_set}{'_sp' if self.options.speed else ''}"

    @property
    def all_transcribed(self) -> bool:
        """Whether no audio counts as untranscribed."""
        return not self.unlabelled

    @property
    def cut(self) -> bool:
        """Whether a share of the training set counts as untranscribed."""
        return not self.options.transcribed.startswith("1")

    @property
    def valid(self) -> str:
        """Features and transcripts to choose epochs by; where nobody has transcribed anything, the teacher's."""
        return f"{self.valid_audio}_labels" if self.options.audio_alone else self.valid_audio

    @property
    def valid_audio(self) -> str:
        """Features of the validation set."""
        return f"{self.feats}/{self.options.valid_set}"

    @property
    def labelled(self) -> str:
        """The part of the training set that counts as transcribed."""
        return f"{self.train_all}_lab{self.options.transcribed}" if self.cut else self.train_all

    @property
    def unlabelled(self) -> str:
        """The audio that counts as untranscribed: a set of its own, or the rest of the training set; empty: none."""
        if self.options.unlabelled_set:
            return f"{self.feats}/{self.options.unlabelled_set}{'_sp' if self.options.speed else ''}"
        return f"{self.train_all}_unlab{self.options.transcribed}" if self.cut else ""

    @property
    def folds(self) -> str:
        """Parts of the transcribed audio, for cross-fitting."""
        return f"{self.labelled}_folds{self.options.folds}"

    @property
    def tokens(self) -> str:
        """The token list that teacher and students share."""
        given = self.options
        if given.teacher_dir:
            return f"{given.dumpdir}/tokens/of_{self._finished}"
        if given.joint_tokens:
            return f"{given.dumpdir}/tokens/joint_{given.token_type}{self._size(str(given.vocab))}"
        size = self._size(str(given.vocab))
        # its record names the set that its text was taken from
        kind = "" if given.feats_type == "fbank" else f"_{given.feats_type}"
        return f"{given.dumpdir}/tokens/{given.token_type}{size}{kind}"

    @property
    def src_tokens(self) -> str:
        """The token list of the text that is translated; empty: audio is recognised."""
        given = self.options
        if not given.translates:
            return ""
        if given.teacher_dir:
            return f"{given.dumpdir}/tokens/src_of_{self._finished}"
        if given.joint_tokens:
            return self.tokens
        return f"{given.dumpdir}/tokens/src_{given.token_type}{self._size(given.src_vocab or str(given.vocab))}"

    @property
    def token_lists(self) -> tuple[str, ...]:
        """The token lists that a training reads, each once."""
        return tuple(one for one in dict.fromkeys((self.tokens, self.src_tokens)) if one)

    def _size(self, vocab: str) -> str:
        return "" if self.options.token_type == "char" else vocab

    @property
    def _tag(self) -> str:
        return f"_{self.options.tag}" if self.options.tag else ""

    @cached_property
    def teacher(self) -> str:
        """The recipe's teacher."""
        return self.teacher_of(self.options.seed)

    def teacher_of(self, seed: int) -> str:
        """The teacher of a seed; with --teacher_dir there is one only."""
        if self.options.teacher_dir:
            return f"{self.options.expdir}/teacher_{self._finished}{self._tag}"
        return f"{self._teacher_base}_s{seed}"

    @property
    def _finished(self) -> str:
        """The name of --teacher_dir, a directory or a zip."""
        return PurePath(self.options.teacher_dir).name.removesuffix(".zip")

    @property
    def _teacher_base(self) -> str:
        return f"{self.options.expdir}/teacher{network(self.options.teacher_config, 'teacher')}{self._tag}"

    def ensemble(self, teachers: int) -> list[str]:
        """The teachers that search together and whose distributions are averaged; the recipe's comes first."""
        return [self.teacher, *(self.teacher_of(self.options.seed + number) for number in range(1, teachers))]

    def fold_teacher(self, number: int) -> str:
        """The teacher that was not trained on a fold."""
        return f"{self._teacher_base}_fold{number}of{self.options.folds}_s{self.options.seed}"

    def student(self, recipe: StudentRecipe, config: str, seed: str) -> str:
        """A student's model directory."""
        return self._student(recipe.name, config, seed)

    def _student(self, name: str, config: str, seed: str) -> str:
        return f"{self.options.expdir}/student{network(config, 'student')}_{name}{self._tag}_s{seed}"

    def teachers_of(self, recipe: StudentRecipe) -> list[str]:
        """The models that a recipe's students learn from: teachers that search together, or a student that teaches."""
        if not recipe.taught_by:
            return self.ensemble(recipe.teachers)
        given = self.options
        return [self._student(PurePath(recipe.taught_by).stem, given.student_configs[0], given.seeds[0])]

    def targets(self, recipe: StudentRecipe) -> str:
        """What a student learns from; empty for references alone."""
        owner = PurePath(recipe.targets_of).stem if recipe.targets_of else recipe.name
        return f"{self.teachers_of(recipe)[0]}/targets_{owner}" if recipe.own_targets else ""

    def train_sets(self, recipe: StudentRecipe) -> list[str]:
        """The features that a student trains on."""
        if not recipe.needs_the_rest:
            return [self.labelled]
        if self.options.unlabelled_set:
            return [one for one in (self.labelled, self.unlabelled) if one]
        return [self.train_all]

    @property
    def other_sets(self) -> list[str]:
        """The validation set and the test sets, each once."""
        return list(dict.fromkeys([self.options.valid_set, *self.options.test_sets]))


def network(config: str, role: str) -> str:
    """What a configuration's name adds to its role, as directories have it.

    conf/mini_teacher.yaml: _mini; conf/teacher.yaml: nothing; a folder of conf/ counts, too:
    conf/munim2018/student_mid.yaml: _munim2018_mid.
    """
    path = PurePath(config)
    name = path.name.removesuffix(".yaml").removesuffix(role).removesuffix("_")
    folder = re.search(r"(?:^|/)conf/([^/]+)/[^/]+$", config)
    if folder:
        name = name.removeprefix(f"{role}_")
    return (f"_{folder.group(1)}" if folder else "") + (f"_{name}" if name else "")


def network_label(student_config: str, teacher_config: str) -> str:
    """What tables call a student's network: what its configuration's name has that the teacher's has not."""
    name, of_teacher = network(student_config, "student"), network(teacher_config, "teacher")
    if f"{name}_".startswith(f"{of_teacher}_"):
        name = name.removeprefix(of_teacher)
    return name.removeprefix("_")
