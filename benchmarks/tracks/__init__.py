"""The benchmark ``tracks``; its question stands in ``__main__.py``."""
