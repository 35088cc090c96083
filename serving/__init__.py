"""Hold a weights version, swap it, and recommend."""
