"""Exposures joined with feedback, by request id within the horizon."""
