"""What a few seeds can say: differences, tests, corrections, effects. Numbers in, numbers out.

May import `ablate.errors` only: no run, no file.
"""
