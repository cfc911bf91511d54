"""What the command line runs: data, training, comparisons, sweeps, and the run folders they leave."""
