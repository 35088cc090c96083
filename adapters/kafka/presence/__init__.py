"""Who is there: whether another everfresh has the same topics."""
