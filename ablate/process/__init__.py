"""This process and its surroundings: signals, ranks, standard streams, processors, exit codes, garbage collection.

May import `ablate.errors` only.
"""
