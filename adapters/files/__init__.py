"""Event files of others, read as events in time order."""
