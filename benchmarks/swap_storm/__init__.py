"""The benchmark ``swap_storm``; its question stands in ``__main__.py``."""
