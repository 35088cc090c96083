"""Strategies of learning compared offline, on a file's events, with the trainer's own code."""
