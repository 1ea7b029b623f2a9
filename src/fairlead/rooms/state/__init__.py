"""What an edge knows of its rooms: values that change, and decide nothing about each other."""
