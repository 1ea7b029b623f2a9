"""The tests of the project, laid out as the source is."""
