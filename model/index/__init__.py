"""Inverted lists over item rows: what a request looks at where a catalogue is large."""
