"""Bridges: records of topics of another shape become events, each exactly once.

``mapping`` and ``conversion`` are pure; ``reader``, ``writer`` and ``bridge`` do it with Kafka.
"""
