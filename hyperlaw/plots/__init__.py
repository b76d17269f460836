"""Pictures: one file each; every function returns a matplotlib figure and computes nothing."""
