"""Weights versions in a folder or object store: layout, deltas, signatures, rollback."""
