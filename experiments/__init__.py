"""Experiments: which definitions may be written, and what the outcomes say of the arms."""
