"""A sweep: its file, the plan of its cells, how long they take, and the engines that run them.

May import `ablate.runs` and what that may import.
"""
