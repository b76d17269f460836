"""A byte-level language model on the source text of Python's standard library."""
