"""This process and its surroundings: signals, other ranks, standard streams, processors, memory.

May import `ablate.errors` only.
"""
