"""A recorder of gdcore: what some 650 calls answer, kept in a file, and compared after a change that should change nothing.

    python -m tests.recorder write FILE      make the calls, and write what they answer to FILE, as JSON
    python -m tests.recorder compare FILE    make them again, and print every difference; with any, the exit status is 1

Both take ``--only TEXT`` (calls whose name contains it; several times: any of them). ``compare --tolerance 1e-9`` allows
numbers to differ by so much, relative to the largest of their array: for records of another machine, whose last bits differ.
Without it bits are compared, which gdcore promises on one machine and with one setting of NumPy's BLAS: the command sets one
thread.

A call is a name and a function. What is kept of it is what its function returns (`kept`), what it prints, its warnings and its
error, to the letter: times, dates and the folder that it ran in are written as <time>, <date> and <folder>. Each call runs in
a folder of its own, which is empty before. The calls use what gdcore's users use and nothing else, so that the recorder goes
on working while the inside changes.

The calls stand in `arrays` (fit and its options), `errors` (what cannot be), `tables` (rows in files, in pieces, in Dask) and
`faces` (the command line, estimators, files of models).
"""
