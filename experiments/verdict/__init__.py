"""The verdict on an experiment: per-user sums of outcomes, and the statistics of their arms."""
