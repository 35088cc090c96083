"""The HSTU network on packed sequences, its batches and its loss."""
