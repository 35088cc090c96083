"""The parts of ``benchmarks.swap_storm``: who publishes, who asks, and who checks."""
