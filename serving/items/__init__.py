"""The catalogue at a replica: followed, kept in columns, and asked which items may be shown."""
