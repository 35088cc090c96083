"""The benchmark ``crash_storm``; its question stands in ``__main__.py``."""
