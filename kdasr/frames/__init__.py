"""Framewise acoustic models: the experiments of Hinton, Vinyals and Dean 2015, sections 4 and 5."""
