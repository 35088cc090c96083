"""One version at a time, whole: followed, fetched or pushed, taken over, swapped."""
