"""Distilled classifiers of images: the experiments of Hinton, Vinyals and Dean 2015, section 3."""
