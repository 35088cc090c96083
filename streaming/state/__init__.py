"""One partition's state: its store, write batches, key layout, snapshots and restore."""
