"""Benchmarks: each measures whether a promise of everfresh holds. README.md lists them."""
