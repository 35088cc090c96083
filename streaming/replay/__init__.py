"""Sends an event file through the public producer, and reports its progress line by line."""
