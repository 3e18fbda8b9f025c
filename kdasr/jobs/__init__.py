"""Stages of a recipe that ./run.sh --submit slurm has handed over to a cluster: how they stand."""
