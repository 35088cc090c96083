"""Several lines of versions in one trainer: which are trained when, started from what."""
