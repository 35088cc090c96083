"""From slices to the window that is trained next: assembly, backlog, holdout."""
