"""Markdown of results that the command line writes: comparisons on images, fairness, estimators."""
