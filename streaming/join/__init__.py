"""The join: matches exposures with feedback, by request id within the horizon."""
