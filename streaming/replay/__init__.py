"""An event file sent through the public producer, with its progress told line by line."""
