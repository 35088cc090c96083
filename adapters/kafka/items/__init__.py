"""The topic ``items``: read from its beginning by replicas, written by commands."""
