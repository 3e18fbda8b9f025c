"""Stages of a recipe that ./run.sh --submit slurm submitted to a cluster: their state."""
