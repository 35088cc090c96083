"""Which targets of a window are worth learning: rules, streams, figures."""
