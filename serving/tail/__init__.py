"""The tail at a replica: trends are kept up between versions, from the state beside it."""
