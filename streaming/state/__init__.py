"""One partition's state: its store, key layout, opening, snapshots and restore."""
