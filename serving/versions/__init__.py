"""One version at a time: the pointer is followed, weights are loaded or pushed, then swapped."""
