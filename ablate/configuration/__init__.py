"""What was asked for: values from the command line, a file or an agent, composed, checked and named.

May import `ablate.process`, `ablate.errors` and `ablate.paths`: nothing here builds a network or reads a result.
"""
