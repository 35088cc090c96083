"""The HSTU network on packed sequences, its batches, loss and optimiser."""
