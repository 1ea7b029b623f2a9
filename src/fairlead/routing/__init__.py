"""The controller's mind: which way to each node. Not here: sockets, clocks, tasks, rooms."""
