"""What the live model must beat: rankings learnt by counting, cheap enough for every window."""
