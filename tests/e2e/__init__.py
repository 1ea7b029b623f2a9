"""Real clients against real nodes: the Python SDK and Chromium."""
