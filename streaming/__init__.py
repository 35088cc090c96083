"""The stream worker, which folds events into state and cuts windows; and the public producer."""
