"""``everfresh tracks``: lines of versions beside the default one."""
