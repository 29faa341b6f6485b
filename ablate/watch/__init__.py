"""A page that shows a sweep while it runs, from the runs' directories alone: who trains them does not matter.

May import what reads and reports; nothing that trains, and nothing that writes into a run's directory.
"""
