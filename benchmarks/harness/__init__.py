"""What every benchmark shares: options, tables, figures, processes, waiting."""
