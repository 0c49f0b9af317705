"""How sure weights are: the covariance of fitted weights, and what follows from it, standard errors, p-values and intervals.

`inference` is the door, `result` what it gives; `sums` makes one pass over the rows, `tails` are the distributions. It imports
models, rows and facts, and nothing of how models are trained.
"""
