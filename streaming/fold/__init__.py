"""The fold: records in; segments, offset, dead letters and closed slices out. Pure."""
