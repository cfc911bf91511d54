"""Numbers that no refactoring may change: `compute` computes them, values.json holds what they were before."""
