"""Users' state as others read it: beside the live writer, or from snapshots."""
