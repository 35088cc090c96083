"""The fold: turns records into segments, offset, dead letters and closed slices. Pure."""
