"""utils/parse_options.sh: Kaldi's behaviour, and none of the flaws of Kaldi's."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

PARSE = Path(__file__).resolve().parents[2] / "utils/parse_options.sh"

BLOCK = r"""#!/usr/bin/env bash
set -euo pipefail
# Begin configuration section.
# What runs
nj=4                 # parallel jobs
use_gpu=false        # decode on the GPU
train_set="a b"      # name # of a set
cmd=run.py           # how jobs are run
tag=
# End configuration section.
other=outside
name=mine config=mine oldval=mine was_bool=mine help=mine
readonly fixed=1
list=(1 2)
help_message="Usage: $0 [options] DIR
  $0 --nj 3 x"
"""

SHOW = r"""
for v in nj use_gpu train_set cmd tag other name config oldval was_bool help; do printf '%s=<%s>\n' "$v" "${!v}"; done
printf 'rest'; for w in "$@"; do printf ' <%s>' "$w"; done; echo
if compgen -v | grep ^parse_options; then echo left; fi
if declare -F | grep parse_options; then echo left; fi
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("po") / "script.sh"
    path.write_text(f"{BLOCK}. {PARSE}\n{SHOW}")
    return path


def run(script, *words, cwd=None):
    where = cwd or script.parent
    done = subprocess.run(["bash", script, *words], capture_output=True, text=True, timeout=600, cwd=where)
    return done.returncode, done.stdout, done.stderr


def values(out):
    return dict(line.split("=", 1) for line in out.splitlines() if "=<" in line and not line.startswith("rest"))


def test_options_set_variables_that_exist(script):
    code, out, err = run(script, "--nj", "8", "--use-gpu", "true", "--train_set", "x", "--tag", "", "dir", "--nj", "9")
    assert (code, err) == (0, "")
    got = values(out)
    assert got["nj"] == "<8>" and got["use_gpu"] == "<true>" and got["train_set"] == "<x>" and got["tag"] == "<>"
    assert "rest <dir> <--nj> <9>" in out  # the first word that is no option ends them
    assert "left" not in out


def test_without_options_nothing_changes(script):
    code, out, _ = run(script)
    assert code == 0 and values(out)["nj"] == "<4>" and out.endswith("rest\n")


def test_its_own_names_are_not_the_script_s(script):
    _, out, _ = run(script, "--nj", "1", "--use_gpu", "true")
    assert [values(out)[name] for name in ("name", "config", "oldval", "was_bool", "help")] == ["<mine>"] * 5
    assert values(run(script, "--name", "x")[1])["name"] == "<x>"


def test_two_dashes_end_the_options(script):
    code, out, _ = run(script, "--nj", "2", "--", "--nj", "3")
    assert code == 0 and values(out)["nj"] == "<2>" and "rest <--nj> <3>" in out


@pytest.mark.parametrize(
    "value",
    [
        "a b", "$HOME", "$(touch pwned)", "`touch pwned`", '"', "'", "\\", "a\nb", "*", "~", "-5", "--", "-n",
        "!!", "a=b", "${nj}", "%s%d", "é", "--max_epoch 3",
    ],
)  # fmt: skip
def test_values_are_literal(script, value):
    code, out, err = run(script, "--train_set", value)
    assert (code, err) == (0, "")
    assert f"train_set=<{value}>\n" in out
    assert not (script.parent / "pwned").exists()


@examples(25)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12).filter(lambda t: t[:2] != "--"))
def test_any_value_is_literal(script, value):
    done = subprocess.run(["bash", script, "--train_set", value], capture_output=True, timeout=600)
    assert done.returncode == 0
    assert b"train_set=<" + value.encode() + b">\n" in done.stdout


@pytest.mark.parametrize(
    "words, said",
    [
        (["--nj"], "script.sh: --nj: its value is missing; write --nj VALUE"),
        (["--use_gpu", "true", "--train-set"], "--train-set: its value is missing; write --train-set VALUE"),
        (["--nj", "--use-gpu", "true"], "--nj: its value is missing, the option --use-gpu follows"),
        (["--nj", "--help"], "--nj: its value is missing, the option --help follows"),
        (["--config"], "--config: its value is missing"),
        (["--nj=8"], "--nj=8: write it as two words, --nj 8"),
        (["--nj=a=b"], "--nj=a=b: write it as two words, --nj a=b"),
        (["--use_gpu", "yes"], "--use_gpu yes: expected true or false"),
        (["--use_gpu", "1"], "--use_gpu 1: expected true or false"),
        (["--cmd", ""], "--cmd: expected a command, found nothing"),
        (["--njj", "8"], "--njj: no such option (did you mean --nj?)"),
        (["--trian_set", "x"], "--trian_set: no such option (did you mean --train_set?)"),
        (["--train", "x"], "--train: no such option (did you mean --train_set?)"),
        (["--zzzzzz", "x"], "--zzzzzz: no such option; script.sh --help lists them"),
        (["--PATH", "x"], "--PATH: no such option"),
        (["--list", "x"], "--list: no such option"),
        (["--fixed", "2"], "--fixed: no such option"),
        (["--a[$(touch pwned)]", "x"], "--a[$(touch pwned)]: no such option"),
        (["--parse_options_rest", "x"], "--parse_options_rest: no such option"),
        (["--config", "nowhere.conf"], "--config nowhere.conf: no such file"),
        (["--config", "."], "--config .: no such file"),
    ],
)
def test_wrong_options_are_refused_in_one_line(script, words, said):
    code, out, err = run(script, *words)
    assert code == 1 and out == ""
    assert said in err and err.count("\n") == 1
    assert not (script.parent / "pwned").exists()


def test_config_is_read_first_wherever_it_stands(script, tmp_path):
    (tmp_path / "c.conf").write_text("nj=16\ntrain_set='from a file'\n")
    code, out, err = run(script, "--nj", "2", "--config", "c.conf", cwd=tmp_path)  # no slash: not looked for in PATH
    assert (code, err) == (0, "")
    got = values(out)
    assert (got["nj"], got["train_set"], got["config"]) == ("<2>", "<from a file>", "<mine>")
    (tmp_path / "d.conf").write_text("train_set=d\nn_j=3\n")
    code, out, err = run(script, "--config", "c.conf", "--config", str(tmp_path / "d.conf"), cwd=tmp_path)
    assert code == 0 and values(out)["nj"] == "<16>" and values(out)["train_set"] == "<d>"
    assert "WARNING" in err and "sets n_j, which is no option here (did you mean --nj?)" in err


def test_a_value_that_reads_config_is_no_config(script):
    code, out, _ = run(script, "--train_set", "--x", "--nj", "3")
    assert code == 0 and values(out)["train_set"] == "<--x>" and values(out)["nj"] == "<3>"


def test_help_shows_the_message_and_the_values_of_now(script):
    code, out, err = run(script, "--nj", "3", "--help", "--nonsense")
    assert (code, err) == (0, "")
    assert out == (
        f"Usage: {script} [options] DIR\n  {script} --nj 3 x\n\n"
        "Options of script.sh and their values now:\n What runs\n"
        "  --nj                parallel jobs [3]\n"
        "  --use_gpu           decode on the GPU [false]\n"
        "  --train_set         of a set [a b]\n"
        "  --cmd               how jobs are run [run.py]\n"
        "  --tag                []\n"
    )


def test_a_script_without_a_section_or_message(tmp_path):
    path = tmp_path / "bare.sh"
    path.write_text(f"foo_bar=1\n. {PARSE}\necho $foo_bar\n")
    assert run(path, "--foo-bar", "2")[:2] == (0, "2\n")
    assert run(path, "--help")[:2] == (0, "bare.sh: no help found\n")
    assert "(did you mean --foo_bar?)" in run(path, "--foo_baz", "2")[2]


OUTER = r"""#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
# Begin configuration section.
corpus=mini          # which corpus
train_set=big        # set
# End configuration section.
parse_options_partial=true
. {parse}
exec bash {inner} --train_set "$train_set" --tag "$corpus" "${{parse_options_rest[@]}}" "$@"
"""


@pytest.fixture
def outer(script):
    path = script.parent / "outer.sh"
    path.write_text(OUTER.format(parse=PARSE, inner=script))
    return path


def test_a_script_passes_on_what_it_does_not_know(outer, tmp_path):
    code, out, _ = run(outer, "--nj", "7", "--corpus", "wsj", "--use-gpu", "true", "x y", "--z", cwd=tmp_path)
    got = values(out)
    assert code == 0
    assert [got[name] for name in ("nj", "tag", "use_gpu", "train_set")] == ["<7>", "<wsj>", "<true>", "<big>"]
    assert "rest <x y> <--z>" in out


def test_config_reaches_both_scripts(outer, tmp_path):
    (tmp_path / "c.conf").write_text("corpus=conf\nnj=5\ntrain_set=small\n")
    code, out, err = run(outer, "--config", str(tmp_path / "c.conf"))
    got = values(out)
    assert code == 0 and (got["nj"], got["tag"], got["train_set"]) == ("<5>", "<conf>", "<small>")
    assert err == ""
    got = values(run(outer, "--config", str(tmp_path / "c.conf"), "--nj", "6", "--corpus", "line")[1])
    assert (got["nj"], got["tag"]) == ("<6>", "<line>")


def test_errors_and_help_through_two_scripts(outer):
    assert "script.sh: --corpsu: no such option (did you mean --corpus?)" in run(outer, "--corpsu", "x")[2]
    assert "--nj: its value is missing, the option --corpus follows" in run(outer, "--nj", "--corpus", "x")[2]
    assert "--nj: its value is missing" in run(outer, "--nj")[2]
    code, out, _ = run(outer, "--corpus", "wsj", "--help")
    assert code == 0 and "which corpus [wsj]" in out and "parallel jobs [4]" in out and "of a set [big]" in out


@pytest.mark.parametrize(
    "line",
    [
        "touch pwned",
        "tag=$(touch pwned)",
        "tag=`touch pwned`",
        'tag="$(touch pwned)"',
        "tag=x; touch pwned",
        "tag=a b",
        "tag='a",
        "tag='a[$(touch pwned)]'",
    ],
)
def test_a_config_is_read_and_not_run(script, tmp_path, line):
    (tmp_path / "c.conf").write_text(f"# settings\nnj=16\n{line}\n")
    code, out, err = run(script, "--config", "c.conf", cwd=tmp_path)
    assert code == 1 and out == "" and not (tmp_path / "pwned").exists()
    what = "expected NAME=VALUE, in quotes where it has blanks (nothing in it is run)"
    assert err == f"script.sh: --config c.conf: {line}: {what}\n"


def test_values_of_a_config(script, tmp_path):
    """Bare or quoted, with a comment, DOS line ends, no newline at the end; a shell's variable is no option."""
    text = (
        'nj=16   # processes\r\ntrain_set="it\'s, a set"\r\ntag=\'a "b" # c\'\nuse_gpu=true\nPATH=/evil\ncmd=slurm.py'
    )
    (tmp_path / "c.conf").write_bytes(text.encode())
    code, out, err = run(script, "--config", "c.conf", cwd=tmp_path)
    got = values(out)
    assert code == 0 and "c.conf sets PATH, which is no option here" in err
    assert [got[name] for name in ("nj", "train_set", "tag", "use_gpu", "cmd")] == [
        "<16>", "<it's, a set>", '<a "b" # c>', "<true>", "<slurm.py>",
    ]  # fmt: skip
    (tmp_path / "c.conf").write_text("use_gpu=perhaps\n")
    assert "use_gpu=perhaps: expected true or false" in run(script, "--config", "c.conf", cwd=tmp_path)[2]
