"""Whether a candidate is published, and whether a published version stays."""
