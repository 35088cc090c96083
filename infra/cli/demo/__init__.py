"""``everfresh demo``: the whole loop on MovieLens 100K, from nothing to a report."""
