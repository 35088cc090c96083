"""Every contender ranked on a window before anyone learns from it, and the reports."""
