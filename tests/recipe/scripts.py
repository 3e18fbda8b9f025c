"""Options of the recipes' scripts, and steps as lines of a table, for tests of what they plan."""

import re
import shlex
from pathlib import Path

import yaml

from kdasr.recipe.kd_options import read_options
from kdasr.recipe.plan import make_plan

ROOT = Path(__file__).resolve().parents[2]
# What of a finished model's config.yaml is looked at before anything runs.
MODEL = {"input_size": 80, "token_type": "char", "token_list": ["<blank>", "<unk>", "A", "<sos/eos>"]}


def write_model(directory, **config):
    """A directory that passes for a finished model's, with a checkpoint that nobody reads."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text(yaml.safe_dump(MODEL | config))
    (directory / "valid.acc.ave.pth").touch()


def options_of(script, **given):
    """The options of a script as `name=value` words: its defaults, but for those that are given."""
    text = (ROOT / script).read_text().split("# Begin configuration section.")[1]
    found = re.findall(r"^(\w+)=(.*)$", text.split("# End configuration section.")[0], re.M)
    values = {name: "".join(shlex.split(value, comments=True)) for name, value in found}
    assert set(given) <= set(values)
    return [f"{name}={value}" for name, value in (values | given).items() if name != "dry_run"]


def kd_options(**given):
    return read_options(options_of("utils/kd.sh", **given))


def kd_plan(**given):
    return make_plan(kd_options(**given), "./run.sh")


def table(work):
    """All steps of the stages of a script, as they stand in tests/recipe/steps."""
    return [line for stage in work.stages for line in (f"# stage {stage}", *stage_table(work.steps(stage)))]


def stage_table(steps):
    """Of each step: what it finishes; settings; inputs; what has to be there, of which stage; what is run by what."""
    for step in steps:
        flags = [
            name for name in ("before_teacher", "remade", "quiet", "always", "taken", "wide") if getattr(step, name)
        ]
        yield " ".join((step.out, *step.also, *(f"({flag})" for flag in flags)))
        yield ("  with " + " | ".join(f"{name}={value}" for name, value in step.settings.items())).rstrip()
        yield " ".join(("  from", *step.inputs))
        yield " ".join(("  needs", *(f"{number}:{path}" for number, path in step.needs)))
        yield from [" ".join(("  makes", *step.makes, "shows", step.shows))] if step.makes else []
        for one in step.commands:
            jobs = [f"JOB=1:{one.jobs}"] if one.jobs else []
            told = [f"(tells {one.tell})"] if one.tell else []
            yield " ".join((f"  {one.on}", *one.options, *jobs, one.log or "-", *one.words, *told))
