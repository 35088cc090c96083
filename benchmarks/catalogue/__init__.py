"""What a window costs as the catalogue grows."""
