"""``everfresh scaling-law``: how the loss falls with size and events, on a file of one's own."""
