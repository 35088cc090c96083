"""The topic ``experiments``: read from its beginning, followed by replicas, written by commands."""
