"""A study: what contents bring to cold and to new items."""
