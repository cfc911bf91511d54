"""Generated bad input for the whole public surface: every input has a right answer or one clear error.

python -m tests.fuzz --seconds 600                 # all targets in turn
python -m tests.fuzz --target npz --seconds 600    # one of them, guided by the lines it reaches
python -m tests.fuzz --target npz --only 1234      # one input again
"""
