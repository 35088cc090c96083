"""One window trained by several processes in step, each of them a Ray actor."""
