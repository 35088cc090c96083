"""How the loss falls with the network's size and with events: a grid of trainings, and laws."""
