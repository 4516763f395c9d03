"""The parts of the screen Compare: what is asked, the work of it, the grid, agreement, baselines, and a good set."""
