"""The benchmark ``offline``; its question stands in ``__main__.py``."""
