"""Statistics of a few seeds: differences, tests, corrections, effects. Functions take numbers and return numbers.

May import `ablate.errors` only: nothing here knows runs or files.
"""
