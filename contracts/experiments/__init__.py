"""Experiments, as serving, the command line and the report speak of them. Pure."""
