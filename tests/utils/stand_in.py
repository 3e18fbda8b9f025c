"""A recipe whose `kdasr` is a stand-in that records its calls, for the tests of utils/kd.sh."""

import os
import subprocess
import sys
from pathlib import Path

UTILS = Path(__file__).resolve().parents[2] / "utils"

KDASR = r"""#!/usr/bin/env bash
# writes what the verb of that name writes, as far as the next stage looks
set -euo pipefail
printf '%s\n' "$*" >>calls.txt
verb="$1"; shift
if [ "$verb" = data ]; then verb="data_$1"; shift; fi
declare -A o=(); words=("$@")
for ((i = 0; i < $#; i++)); do
    [[ "${words[i]}" != --?* ]] || o["${words[i]#--}"]="${words[i + 1]:-}"
done
out="${o[out]:-}"
if [[ "$verb ${o[out]:-}" == ${SLOW:-none} ]]; then sleep 30; fi
if [[ "$verb ${o[out]:-}" == ${FAIL:-none} ]]; then echo "no such luck"; exit 3; fi
case "$verb" in
    data_folds) for x in fold1 fold2 rest1 rest2; do mkdir -p "$out/$x"; echo "u a" >"$out/$x/text"; done ;;
    prune) mkdir -p "$out"; echo mask >"$out/mask.pth" ;;
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
        ;;
    score) mkdir -p "${o[dir]}" ;;
    jobs) ;;
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
    mkdir -p "$(dirname "${words[0]}")"
    "${words[@]:1}" >"${words[0]}" 2>&1 || exit 1
done
"""

FAKE_GPU = """#!/usr/bin/env bash
if [ "$1 $2" = "--gpu 1" ]; then shift 2; fi
exec quick "$@"
"""

DATA = r"""#!/usr/bin/env bash
printf 'local/data.sh' >>calls.txt; printf ' <%s>' "$@" >>calls.txt; echo >>calls.txt
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
        [UTILS / "kd.sh", "--early_students", "false", "--students", "refs nbest extra control", *words],
        cwd=recipe, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr, calls.read_text().splitlines() if calls.exists() else []


def verbs(calls):
    return [" ".join(call.split()[: 2 if call.startswith("data") else 1]) for call in calls]


def trained(calls):
    """Directories that `kdasr train` wrote, in order."""
    return [call.split("--out ")[1].split()[0] for call in calls if call.startswith("train ")]
