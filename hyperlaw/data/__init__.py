"""Tables of training runs: checked, in the package's own words, immutable."""
