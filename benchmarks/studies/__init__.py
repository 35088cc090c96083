"""Finished studies, which back a decision and watch no promise.

``python -m benchmarks.studies.NAME`` runs one.
"""
