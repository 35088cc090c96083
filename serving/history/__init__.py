"""A user's history as a version reads it, and its cache between requests."""
