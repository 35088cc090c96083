"""The live page of a run, ``everfresh board``: plain HTML and a script, on loopback alone."""
