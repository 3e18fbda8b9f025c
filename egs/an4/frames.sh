#!/usr/bin/env bash
# Framewise acoustic models of AN4, distilled from an ensemble (Hinton, Vinyals and Dean 2015). The stages are in
# utils/frames.sh; what they need is there after ./run.sh --an4 DIR --stop_stage 3.
set -euo pipefail
export KDASR_COMMAND="./frames.sh${*:+ $*}"
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ../../utils/frames.sh --speed 0.9,1.0,1.1 "$@"
