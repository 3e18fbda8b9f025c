"""From options and student recipes to what a run does: a plan of steps, and the program that carries it out.

options.py           the options of a shell script, typed and checked
student.py           student recipes: what a student learns from and how, a YAML file each
layout.py, plan.py   which directory holds what; models and archives, and how they depend on each other
stages.py, students.py, lm.py   the steps of each stage
kd.py, lm_script.py, frames.py  what utils/kd.sh, lm.sh and frames.sh run
step.py              a step, and the record (.done) that says what it was made with
work.py, execute.py  carries steps out: lock, records, processes side by side
submit.py            hands stages to a cluster instead
"""
