"""One file per command of ``everfresh``."""
