"""A follower: the fold without windows, outbox and group, for replicas on another machine."""

READY_LINE = "the state of all partitions is here"
"""What the follower's process says on its standard output once that is so."""
