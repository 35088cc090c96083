"""Whether a window is trained, a candidate published, and a published version stays."""
