"""This machine: signals, TCP ports, child processes, and the record of serving's endpoints."""
