"""What commands show: a run's reports turned into figures, tables, a live screen and plots."""
