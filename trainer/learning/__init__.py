"""Learning from one window: one training step after another, by a strategy."""
