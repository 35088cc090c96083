"""What ``everfresh scaling-law`` shows: tables with words, and a plot."""
