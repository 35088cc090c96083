"""Tables of any make (CSV, JSON lines, Parquet; files and folders of them) read as events."""
