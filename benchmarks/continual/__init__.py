"""The benchmark ``continual``; its question stands in ``__main__.py``."""
