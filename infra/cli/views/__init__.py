"""What commands show, and the pure figures behind it."""
