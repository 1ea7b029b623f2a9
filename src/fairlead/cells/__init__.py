"""The state of a region on NATS, and the view of the others. Not here: what records mean."""
