"""One file a command, named as its words (`kdasr lm train`: lm_train.py): its arguments, examples, and `run`.

What several commands have in common stands in *_arguments.py. `run` makes typed settings of the arguments and calls
the library, which knows no argparse; it imports there what takes seconds (torch, ESPnet), so that --help is quick.
"""
