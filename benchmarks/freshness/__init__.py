"""The benchmark ``freshness``; its question stands in ``__main__.py``."""
