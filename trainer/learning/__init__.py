"""Learning from one window: the learner, its training steps and its strategies."""
