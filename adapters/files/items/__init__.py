"""Files of a catalogue (CSV, JSON lines, Parquet; folders of them) read as items."""
