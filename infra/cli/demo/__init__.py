"""``everfresh demo``: the whole loop on a stream of events, from nothing to a report."""
