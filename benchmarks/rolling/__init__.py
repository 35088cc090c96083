"""Parts restarted, or upgraded and taken back, by turns, while events and requests go on."""
