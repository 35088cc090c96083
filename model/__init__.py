"""The recommender: network, vocabulary, loss, optimiser, and retrieval."""
