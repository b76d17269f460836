"""A small classifier on handwritten digits."""
