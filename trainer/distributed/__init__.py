"""One window trained by several processes, and the trainer as a Ray actor."""
