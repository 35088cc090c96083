"""What each command of ``everfresh`` does: one file per command."""
