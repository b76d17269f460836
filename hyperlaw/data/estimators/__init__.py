"""From rows to measured values: the best setting of a cell, steps to a loss, crossings of a performance."""
