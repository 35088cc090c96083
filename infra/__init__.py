"""What runs the loop: supervisor, embedded broker, Ray head, command line."""
