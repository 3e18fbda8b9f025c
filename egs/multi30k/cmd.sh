# Sourced by the recipe: how its jobs are run. Each is a program that takes Kaldi's arguments,
#   CMD [--max-jobs-run N] [--gpu N] [--mem X] [--num-threads N] [--time T] [JOB=1:N] LOG COMMAND...
# Choose with `export cmd_backend=slurm`, or edit the default here.
#   train_cmd   data, features, scoring and training on the CPU
#   cuda_cmd    training with --ngpu 1 or more
#   decode_cmd  N-best and decoding
#   submit_cmd  ./run.sh --submit slurm: the job of a stage, which needs one processor and lasts as long as the jobs it starts
# shellcheck shell=bash
cmd_backend="${cmd_backend:-local}"

case "${cmd_backend}" in
    local) # this machine
        export train_cmd="run.py"
        export cuda_cmd="run.py"
        export decode_cmd="run.py"
        ;;
    slurm) # a cluster; conf/slurm.conf says what --gpu, --mem, --num-threads and --time mean to its sbatch
        export train_cmd="slurm.py"
        export cuda_cmd="slurm.py"
        export decode_cmd="slurm.py"
        export submit_cmd="slurm.py"
        ;;
    *)
        echo "cmd.sh: cmd_backend=${cmd_backend}: expected local or slurm" >&2
        exit 1
        ;;
esac
