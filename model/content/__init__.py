"""What an item is by its record, and the map from there to the network's item rows."""
