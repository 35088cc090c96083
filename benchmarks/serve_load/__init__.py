"""The benchmark ``serve_load``; its question stands in ``__main__.py``."""
