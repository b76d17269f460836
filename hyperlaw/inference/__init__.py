"""Sampling posteriors, predicting unseen cells, storing fits."""
