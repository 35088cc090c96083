"""The parts of ``benchmarks.crash_storm``: what breaks, what loads, and what the log says."""
