"""Fixtures of these tests: a small network, and one thread for all."""

from tests.trainer.small_settings import one_thread, small_settings

__all__ = ["one_thread", "small_settings"]
