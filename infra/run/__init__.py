"""A run on disk: its record, by which other commands find it, and the lock of its home."""
