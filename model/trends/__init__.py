"""What is hot and what has just followed what: counts that fade, and their weight in a score."""
