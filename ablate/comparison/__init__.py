"""Finished runs as one comparison: read, grouped by their choices, paired by seed, judged.

May import `ablate.statistics`, `ablate.sweep` and what that may import.
"""
