"""Ranks of targets among all rows, found a few thousand rows at a time."""
