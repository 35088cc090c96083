"""Data of a size that is asked for, made without training and without a stream; always the same."""
