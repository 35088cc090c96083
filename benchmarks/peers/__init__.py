"""Other systems doing the same job, each as one program in an environment of its own; the one in
``kafka_streams`` is Java.

Each takes ``BOOTSTRAP TOPIC STATE_DIR`` and prints a JSON line ``{"events": n, "ages_ms": [...]}``
about four times a second: how many events it has folded since it started, and how old each probe
was when it was folded.
"""
