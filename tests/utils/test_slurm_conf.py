"""utils/slurm_conf.py: Kaldi's conf/slurm.conf. Without a cluster."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "utils"))

import slurm_conf
from jobs import WrongUsage

# shared by Kaldi and ESPnet recipes
ESPNET = """\
# Default configuration
command sbatch --export=PATH
option name=* --job-name $0
option time=* --time $0
option mem=* --mem-per-cpu $0
option mem=0
option num_threads=* --cpus-per-task $0
option num_threads=1 --cpus-per-task 1
option num_nodes=* --nodes $0
default gpu=0
option gpu=0 -p cpu
option gpu=* -p gpu --gres=gpu:$0 -c $0  # Recommend allocating more CPU than, or equal to the number of GPU
"""


def words(text, **given):
    return slurm_conf.sbatch(slurm_conf.parse(text.splitlines(), "conf/slurm.conf"), given)


def test_kaldi_s_lines():
    assert words(ESPNET) == ["sbatch", "--export=PATH", "-p", "cpu"]
    assert words(ESPNET, gpu="2") == ["sbatch", "--export=PATH", "-p", "gpu", "--gres=gpu:2", "-c", "2"]
    made = words(ESPNET, num_threads="4", mem="8G", gpu="0", num_nodes="2", name="a b")
    given = ["--job-name", "a b", "--mem-per-cpu", "8G", "--cpus-per-task", "4", "--nodes", "2", "-p", "cpu"]
    assert made == ["sbatch", "--export=PATH", *given]  # in the file's order
    assert words(ESPNET, num_threads="1", mem="0")[2:] == ["--cpus-per-task", "1", "-p", "cpu"]


def test_options_in_either_spelling():
    assert words("command sbatch\noption num-nodes=* -N $0\ndefault num-nodes=3") == ["sbatch", "-N", "3"]
    assert words("command sbatch\noption mem=* --mem $0G", mem="8") == ["sbatch", "--mem", "8G"]


def test_quotes_keep_blanks_and_nothing_is_expanded():
    text = "command 'my sbatch' --comment \"a  b\" # not this\noption x=* --wckey='$0 $0' --licenses=a#b"
    made = words(text, x="$HOME 'y")
    assert made == ["my sbatch", "--comment", "a  b", "--wckey=$HOME 'y $HOME 'y", "--licenses=a"]


def test_slurm_py_s_own_options_need_no_line():
    assert words("command sbatch", max_jobs_run="3", conf="x", config="y", mem="0", gpu="0", num_threads="1") == [
        "sbatch"
    ]
    with pytest.raises(WrongUsage, match=r"^--num-nodes 2: not described in conf/slurm.conf; .*option num_nodes=\*"):
        words("command sbatch", num_nodes="2")
    with pytest.raises(WrongUsage, match="--gpu 3: not described"):  # another value than those described
        words("command sbatch\noption gpu=1 --gres=gpu:1", gpu="3")


@pytest.mark.parametrize(
    "line, said",
    [
        ("option mem", "expected 'command sbatch ...'"),
        ("optoin mem=* --mem $0", "expected 'command sbatch ...'"),
        ("default gpu=0 -p cpu", "expected 'command sbatch ...'"),
        ("option gpu=* -c $((6*$0))", "no shell reads this line"),
        ("option x=* --chdir $HOME", "no shell reads this line"),
        ("option x=* --comment `date` $0", "no shell reads this line"),
        ("option x=* --comment 'a", "a quote is not closed"),
    ],
)
def test_lines_that_cannot_be_carried_out(line, said):
    with pytest.raises(WrongUsage) as error:
        words(f"command sbatch\n\n{line}")
    assert str(error.value).startswith(f"conf/slurm.conf:3: {line}: ") and said in str(error.value)


def test_a_file_without_a_command():
    with pytest.raises(WrongUsage, match=r"^conf/slurm.conf: no line 'command sbatch"):
        words("option mem=* --mem $0")


def test_which_file_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    conf = slurm_conf.read(None)
    given = {"mem": "8G", "time": "1:00", "num_threads": "2", "gpu": "1"}
    assert slurm_conf.sbatch(conf, given)[1:] == [
        "--time",
        "1:00",
        "--mem",
        "8G",
        "--cpus-per-task",
        "2",
        "--gres=gpu:1",
    ]
    with pytest.raises(WrongUsage, match=r"^my.conf: No such file"):
        slurm_conf.read("my.conf")
    Path("my.conf").write_text("command sbatch -A mine\n")
    assert slurm_conf.read("my.conf").command == ["sbatch", "-A", "mine"]
    Path("conf").mkdir()
    Path("conf/slurm.conf").write_text("command sbatch -A usual\n")
    assert slurm_conf.read(None).command == ["sbatch", "-A", "usual"]
