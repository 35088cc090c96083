"""The benchmark ``train_speed``; its question stands in ``__main__.py``."""
