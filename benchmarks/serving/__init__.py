"""What the serving benchmarks share: a stand with real replicas, and a load tool."""
