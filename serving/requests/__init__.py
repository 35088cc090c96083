"""What a request may say, how many come in at once, and how a refused one is told why."""
