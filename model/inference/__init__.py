"""From a user's history to items: the network token by token or batched, and retrieval."""
