"""The record of a run on disk, by which other commands find it."""
