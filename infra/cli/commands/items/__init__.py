"""``everfresh items``: the commands for the catalogue."""
