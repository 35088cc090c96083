"""The benchmark ``gate``; its question stands in ``__main__.py``."""
