"""Which item stands in which row: admission, expiry, sightings, and their tables."""
