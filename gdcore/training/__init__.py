"""One call of `gdcore.fit`: its options, the loop, when it stops, what it says, and the run that it leaves."""
