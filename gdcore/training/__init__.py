"""One call of `gdcore.fit`, from its arguments to its run: the loop, who looks on, checkpoints, what is said of the end.

It stands on descents and solvers. Who trains imports `gdcore.training.run`; nothing below knows of it.
"""
