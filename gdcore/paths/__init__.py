"""How strongly to penalise: the models of a whole path of penalties, judged by rows that did not train them.

`path` is the door, `result` what it gives, `picture` draws it; `folds` says which rows test when, `ladder` which penalties
there are, and `along` puts all together. Squared error needs one pass over the rows, `moments`, of which `squared` makes every
model; `smooth` descends along the path for the other losses, from `constants` on.
"""
