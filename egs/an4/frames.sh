#!/usr/bin/env bash
# Framewise acoustic models of AN4, distilled from an ensemble (Hinton, Vinyals and Dean 2015). The stages are in
# utils/frames.sh; what they need is there after ./run.sh --an4 DIR --stop_stage 3.
set -euo pipefail
KDASR_COMMAND="./frames.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ../../utils/frames.sh "$@"
