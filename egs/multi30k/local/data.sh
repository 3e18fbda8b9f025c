#!/usr/bin/env bash
# Stage 1 of egs/multi30k: data directories with text.src and text, of plain parallel text or of a grammar.
set -euo pipefail

# Begin configuration section.
data=""              # directory of plain parallel text, SET.SRC and SET.TGT, or .gz of them
src=en               # how the names of files that are read end
tgt=de               # how the names of their translations end
pairs=0              # in place of a corpus, so many sentences of a grammar to train on
datadir=data         # where the data directories are written
# shellcheck disable=SC2034  # run.sh gives it to every data.sh
nj=2                 # not used: one process is enough
# End configuration section.

# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: local/data.sh --data DIR [options]        (run.sh calls it in stage 1)

  local/data.sh --data ../../../shared/data/multi30k --datadir data/multi30k

Writes DATADIR/SET for every SET.SRC of the directory. A set without SET.TGT is text that nobody has translated. Parts
SET.1.SRC, SET.2.SRC, ... without translations become one set."
here="$(dirname "${BASH_SOURCE[0]}")"
. "${here}/../../../utils/parse_options.sh"
. "${here}/../path.sh"

fail() {
    echo "local/data.sh: $*" >&2
    exit 1
}
[ $# -eq 0 ] || fail "$1: options begin with -- and take one value"
if [ "${pairs}" != 0 ]; then
    exec kdasr data pairs --out "${datadir}" --train "${pairs}"
fi
[ -n "${data}" ] || fail "the corpus is not named: ./run.sh --data DIR, with SET.${src} and SET.${tgt} in it"
[ -d "${data}" ] || fail "--data ${data}: no such directory (a relative path is taken from egs/multi30k)"

# the file of a set in a language, which may be gzipped; nothing if there is none
file_of() {
    local one
    for one in "${data}/$1.$2" "${data}/$1.$2.gz"; do
        if [ -f "${one}" ]; then
            echo "${one}"
            return
        fi
    done
}
shopt -s nullglob
joined="$(mktemp -d)"
trap 'rm -rf "${joined}"' EXIT
sets=0
declare -A parts=() # of texts without translations: base name -> its files
for file in "${data}"/*."${src}" "${data}"/*."${src}.gz"; do
    name="${file##*/}" name="${name%.gz}" name="${name%."${src}"}"
    [ "${file}" = "$(file_of "${name}" "${src}")" ] || fail "${file}: ${name}.${src} is there, too; remove one of the two"
    translated="$(file_of "${name}" "${tgt}")"
    if [ -n "${translated}" ]; then
        kdasr data parallel --src "${file}" --tgt "${translated}" --out "${datadir}/${name}"
    elif [[ "${name}" =~ ^(.+)\.[0-9]+$ ]]; then
        parts["${BASH_REMATCH[1]}"]+="${file}"$'\n'
    else
        kdasr data parallel --src "${file}" --out "${datadir}/${name}"
    fi
    sets=$((sets + 1))
done
[ "${sets}" -gt 0 ] || fail "--data ${data}: no file there ends in .${src} or .${src}.gz; name the language with --src"
for name in "${!parts[@]}"; do
    while read -r file; do
        case "${file}" in *.gz) cat "${file}" ;; *) gzip -c "${file}" ;; esac
    done <<<"${parts[${name}]%$'\n'}" >"${joined}/${name}.gz" # gzipped texts one after the other are one
    kdasr data parallel --src "${joined}/${name}.gz" --out "${datadir}/${name}"
done
