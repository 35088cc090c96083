"""The benchmark ``stream_state``; its question stands in ``__main__.py``."""
