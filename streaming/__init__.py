"""Decode, validate and fold events into per-user state; cut training windows."""
