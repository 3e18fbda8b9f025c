#!/usr/bin/env bash
# Distillation of classifiers of images (Hinton, Vinyals and Dean 2015, section 3), of MNIST or of scikit-learn's digits.
# The settings are in conf/*.conf, the stages in local/images.sh.
set -euo pipefail
KDASR_COMMAND="./run.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
cd "$(dirname "${BASH_SOURCE[0]}")"

# Begin configuration section.
mnist=""             # directory of MNIST's four files; without it the digits that scikit-learn carries
quick=false          # MNIST with fewer epochs, temperatures, widths and seeds
held_out=0           # this many of the last training images stand as the test images: to choose settings on
# End configuration section.
help_message="Usage: ./run.sh [options]

  ./run.sh                                     # digits; run again, it continues where it stopped
  ./run.sh --mnist /corpora/mnist --nj 2       # MNIST
  ./run.sh --mnist /corpora/mnist --quick true # fewer epochs, temperatures, widths and seeds
  ./run.sh --mnist /corpora/mnist --held_out 10000 --seeds 1 --stop_stage teacher \\
      --teacher_opts 'epochs=20' --expdir exp/trial    # another setting, judged without the test images"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

kind=digits note=""
[ -z "${mnist}" ] || kind=mnist
if "${quick}"; then
    [ -n "${mnist}" ] || { echo "run.sh: ERROR: --quick is for --mnist; the digits are quick anyway" >&2; exit 1; }
    kind=mnist_quick
fi
data="${kind%_quick}" exp="${kind}"
if [ "${held_out}" != 0 ]; then
    data+=_held_out exp="${kind/mnist/mnist_held_out}" note="The last ${held_out} training images stand as the test images."
    exp="${exp/digits/digits_held_out}"
fi
exec local/images.sh --config "conf/${kind}.conf" --mnist "${mnist}" --held_out "${held_out}" \
    --datadir "data/${data}" --expdir "exp/${exp}" ${note:+--note "${note}"} "${parse_options_rest[@]}" "$@"
