"""Real parts of everfresh started for a run: broker, Ray, stream worker, replicas. No trainer."""
