"""What utils/kd.sh runs, stage by stage.

| stage | function | steps |
|---|---|---|
| 1 data | `stages.data` | the corpus |
| 2 feats | `stages.feats` | each set; the split into transcribed and untranscribed audio; folds |
| 3 teacher | `stages.teacher` | tokens; the teachers |
| 4 nbest | `stages.nbest` | an archive for each set and search |
| 5 student | `students.student` | targets; pruned and shrunk models; students |
| 6 decode | `stages.decode` | each model, tag and set; perplexities |
| 7 score | `stages.score` | words and characters |
| 8 lm | `lm.models` | text, vocabulary, language models, perplexities |
| 9 rescore | `lm.rescore` | lists, ranked by each of them |
| 10 report | `stages.report` | the table and the page |
| 11 export | `exports.export` | a student as one file that runs anywhere |
"""

from __future__ import annotations

from kdasr.recipe import closing, exports, lm, preflight, stages, students
from kdasr.recipe.kd_options import STAGES, Options
from kdasr.recipe.plan import Plan, make_plan
from kdasr.recipe.work import Work

PURPOSES = (
    "the corpus, as data directories",
    "features of the audio; part of it is set aside as not transcribed",
    "the large model that students learn from",
    "its best hypotheses of the audio that students learn from",
    "small models that learn from it, and others to compare with",
    "every model transcribes the test sets",
    "errors are counted as sclite counts them",
    "language models, large and small",
    "hypotheses are ranked anew by each language model",
    "a table, and a page to look at",
    "a student as one file, which runs without torch",
)
OF_TRANSLATION = {
    2: "text as models read it; part of it is set aside as not translated",
    4: "its best hypotheses of the text that students learn from",
    6: "every model translates the test sets",
    7: "BLEU, chrF and TER, by sacrebleu",
}
FUNCTIONS = (
    *(stages.data, stages.feats, stages.teacher, stages.nbest, students.student, stages.decode, stages.score),
    *(lm.models, lm.rescore, stages.report, exports.export),
)


def work(options: Options, command: str) -> Work:
    """What utils/kd.sh runs.

    Args:
        options: its options.
        command: as the user wrote it.

    Raises:
        UserError: as `make_plan` and `preflight.check`.
    """
    plan = make_plan(options, command)
    preflight.check(plan)
    beside = options.early_students and not options.ngpu and options.nj >= 2 and not options.teacher_dir
    return Work(
        names=STAGES,
        purposes=tuple(
            OF_TRANSLATION.get(number, said) if options.translates else said for number, said in enumerate(PURPOSES, 1)
        ),
        stages=options.stages,
        steps=lambda stage: list(FUNCTIONS[stage - 1](plan)),
        about=lambda stage: about(plan, stage),
        expdir=options.expdir,
        nj=options.nj,
        command=command,
        counted=(6, 7),
        # students that need no teacher are trained beside it, when there are tokens
        early=(lambda: [step for step in students.student(plan) if step.before_teacher]) if beside else None,
        early_after=plan.layout.token_lists,
        closing=lambda: closing.closing(plan),
    )


def about(plan: Plan, stage: int) -> str:
    """What a stage reads and writes, in a few words."""
    at, given = plan.layout, plan.options
    archives = " ".join(one.out for one in plan.archives)
    teachers, students = " ".join(plan.teachers), " ".join(plan.student_dirs)
    sets = ",".join(name for name in (given.train_set, *at.other_sets, given.unlabelled_set) if name)
    kinds = ", ".join(f"score_{kind}" for kind in plan.score_kinds)
    lms = f"{given.expdir}/lm"
    finished = f", {at.tokens}, {at.teacher}" if given.teacher_dir and 1 in given.stages else ""
    reads, writes = (
        ("the corpus", f"{given.datadir}/{{{sets}}}{finished}"),
        (given.datadir, at.feats),
        (named(at.labelled or given.teacher_dir, at.valid_audio), f"{', '.join(at.token_lists)}, {teachers}"),
        (named(at.teacher, at.labelled, at.unlabelled), archives),
        (named(at.labelled, at.train_all or at.unlabelled, archives), students),
        (f"{teachers} {students}", f"{given.expdir}/*/decode_*/{{{','.join(given.test_sets)}}}"),
        (f"{given.expdir}/*/decode_*/*/text", f"{kinds} beside them"),
        ("text of the recipe, or transcripts", f"{given.dumpdir}/lm, {lms}"),
        (f"{lms}, {' '.join(given.test_sets)}", f"{lms}/*/rescore_*, {at.lm_results}"),
        (f"{given.expdir}/*/decode_*/*/score_*", f"{at.results} {given.expdir}/report.html"),
        (f"{students}, {at.feats}/{given.test_sets[0]}", f"{given.expdir}/student_*/bundle.zip"),
    )[stage - 1]
    left = ", ".join(plan.left_out)
    more = f" (without {left}: there is no audio for what they learn from)" if left and stage == 5 else ""
    return f"reads {reads}, writes {writes}{more}"


def named(*places: str) -> str:
    """Directories with commas between; without those that there are not."""
    return ", ".join(place for place in places if place)
