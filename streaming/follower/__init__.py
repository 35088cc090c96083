"""A follower: the fold without windows, outbox and group, for replicas on another machine."""
