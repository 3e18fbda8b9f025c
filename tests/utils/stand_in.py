"""A recipe whose `kdasr` is a stand-in that records its calls, for the tests of utils/kd.sh and its like."""

import os
import subprocess
import sys
from pathlib import Path

UTILS = Path(__file__).resolve().parents[2] / "utils"

KDASR = r"""#!/usr/bin/env bash
# writes what the command of that name writes, as far as the next stage looks
set -euo pipefail
printf '%s\n' "$*" >>calls.txt
IFS=$'\x1f'; printf '%s\n' "$*" >>words.txt; unset IFS
command="$1"; shift
if [[ "$command" == @(data|lm|frames|images) ]]; then command+="_$1"; shift; fi
declare -A o=(); words=("$@")
for ((i = 0; i < $#; i++)); do
    [[ "${words[i]}" != --?* ]] || o["${words[i]#--}"]="${words[i + 1]:-}"
done
out="${o[out]:-}"
mkdir() { [ -d "$2" ] || command mkdir "$@"; } # half of this program's time would go there
if [[ "$command ${o[out]:-}" == ${SLOW:-none} ]]; then sleep 900; fi
if [[ "$command ${o[out]:-}" == ${FAIL:-none} ]]; then echo "no such luck"; exit 3; fi
case "$command" in
    data_folds)
        for ((i = 1; i <= o[folds]; i++)); do
            for x in "fold$i" "rest$i"; do mkdir -p "$out/$x"; echo "u a" >"$out/$x/text"; done
        done
        ;;
    data_text) mkdir -p "$out"; for x in train valid test; do echo a >"$out/$x.txt"; done ;;
    lm_train) mkdir -p "$out"; echo "epoch 1" >"$out/log" ;;
    *_report) echo "| the table |"; echo "# RESULTS" >"$out" ;;
    images_data) mkdir -p "$(dirname "$out")"; echo images >"$out" ;;
    *s_train) mkdir -p "$out"; echo {} >"$out/kdasr.json" ;;
    rescore | frames_decode)
        mkdir -p "$out"; echo "u a" >"$out/text"
        if [ -v "o[tune]" ]; then echo {} >"$out/weights.json"; fi
        ;;
    adopt) mkdir -p "$out"; ln -sfn -t "$out" "$PWD/$1"/*; echo {} >"$out/kdasr.json" ;;
    prune) mkdir -p "$out"; echo mask >"$out/mask.pth" ;;
    shrink)
        mkdir -p "$out"
        if [ -v "o[train_config]" ]; then cp "${o[train_config]}" "$out/train.yaml"; fi
        ;;
    soft) echo soft >"${o[targets]}/soft.scp" ;;
    train)
        mkdir -p "$out"
        if [ -n "${o[mask]:-}" ]; then cp "${o[mask]}" "$out/mask.pth"; fi
        ;;
    feats)
        mkdir -p "$out"
        if [ -v "o[merge]" ]; then cp "${o[data]}/text" "${o[data]}/utt2spk" "$out"; fi
        ;;
    data_holdout) mkdir -p "${o[labelled]}" "${o[unlabelled]}"; echo "u a" >"${o[labelled]}/text" ;;
    report)
        echo "| the table |"
        for ((i = 0; i < $#; i++)); do [ "${words[i]}" != -o ] || echo "# RESULTS" >"${words[i + 1]}"; done
        [ -z "${o[figures]:-}" ] || echo "a figure" >>"${o[figures]}"
        ;;
    score) mkdir -p "${o[dir]}" ;;
    jobs) ;;
    export) mkdir -p "$out"; echo "a bundle" >"$out.zip"; echo "| the card |" ;;
    decode) mkdir -p "$out"; echo "u a" >"$out/text" ;;
    *) mkdir -p "$out" ;;
esac
"""

# run.py starts a Python; where its own doings do not matter, this one is quick
QUICK = r"""#!/usr/bin/env bash
jobs=1
if [[ "$1" == JOB=1:* ]]; then jobs="${1#JOB=1:}"; shift; fi
for ((i = 1; i <= jobs; i++)); do
    words=("${@//JOB/$i}")
    [[ "${words[0]}" != */* || -d "${words[0]%/*}" ]] || mkdir -p "${words[0]%/*}"
    "${words[@]:1}" >"${words[0]}" 2>&1 || exit 1
done
"""

FAKE_GPU = """#!/usr/bin/env bash
if [ "$1 $2" = "--gpu 1" ]; then shift 2; fi
exec quick "$@"
"""

DATA = r"""#!/usr/bin/env bash
printf 'local/data.sh' >>calls.txt; printf ' <%s>' "$@" >>calls.txt; echo >>calls.txt
{ printf 'local/data.sh'; printf '\x1f%s' "$@"; echo; } >>words.txt
for x in train dev test; do
    mkdir -p data/$x; echo "u $x.wav" >data/$x/wav.scp; echo "u a" >data/$x/text; echo "u s" >data/$x/utt2spk
done
"""


def lay_out(tmp_path):
    """A recipe's directory with stand-ins for the programs that kd.sh calls."""
    for name, text in (("bin/kdasr", KDASR), ("bin/quick", QUICK), ("bin/fake_gpu", FAKE_GPU), ("local/data.sh", DATA)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (tmp_path / "path.sh").write_text(f"PATH={tmp_path}/bin:{UTILS}:{Path(sys.executable).parent}:$PATH\n")
    (tmp_path / "cmd.sh").write_text("train_cmd=${RUN:-quick} decode_cmd=$train_cmd cuda_cmd=$train_cmd\n")
    (tmp_path / "conf").mkdir()
    for role in ("teacher", "student"):
        (tmp_path / f"conf/{role}.yaml").write_text(f"# {role}\n")
    return tmp_path


def kd(recipe, *words, status=0, **environment):
    """Run kd.sh; its output, and the calls of kdasr that it made."""
    calls = recipe / "calls.txt"
    calls.unlink(missing_ok=True)
    done = subprocess.run(
        [UTILS / "kd.sh", "--early_students", "false", "--students", "refs nbest pseudo oracle", *words],
        cwd=recipe, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr, calls.read_text().splitlines() if calls.exists() else []


def script(recipe, path, *words, **environment):
    """Run a recipe's script: its exit status, its output, and the calls that it made, each a list of words."""
    made = recipe / "words.txt"
    made.unlink(missing_ok=True)
    done = subprocess.run(
        [path, *words], cwd=recipe, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, text=True, timeout=600,
    )  # fmt: skip
    calls = [line.split("\x1f") for line in made.read_text().splitlines()] if made.exists() else []
    return done.returncode, done.stdout, calls


def commands(calls):
    return [" ".join(call.split()[: 2 if call.startswith("data") else 1]) for call in calls]


def trained(calls):
    """Directories that `kdasr train` wrote, in order."""
    return [call.split("--out ")[1].split()[0] for call in calls if call.startswith("train ")]
