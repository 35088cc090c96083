"""The model's contents of items."""
