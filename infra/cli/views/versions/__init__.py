"""What `everfresh versions` shows of each version: its life, and what its window was like."""
