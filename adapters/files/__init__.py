"""Event files: published datasets and JSON lines, read as events in time order."""
