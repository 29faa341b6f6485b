"""This process and its surroundings: signals, ranks, standard streams, processors, exit codes, garbage collection,
Lightning's import.

May import `ablate.errors` only.
"""
