"""Read windows, score, train and publish weights versions."""
