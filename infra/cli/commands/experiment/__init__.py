"""``everfresh experiment``: the commands for experiments."""
