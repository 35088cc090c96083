"""Parts of `benchmarks.stream_state`."""
