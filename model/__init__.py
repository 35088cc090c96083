"""The network, the item vocabulary, loss, retrieval and scoring."""
