"""Whether to believe a fit, and which of several to believe more."""
