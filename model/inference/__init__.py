"""From a user's history to ranked items: incremental runs, ranking, retrieval."""
