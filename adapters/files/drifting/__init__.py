"""A made-up stream of clicks that drifts: items come and go, tastes move, and its law is known."""
