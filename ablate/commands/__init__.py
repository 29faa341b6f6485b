"""The command line: one module for each command, named like it. This room may import every other; none imports it.

A module has `add_arguments(parser)`, its own flags and words, and `run`. Commands that work on one composed
configuration (train, describe) are Hydra applications: `run(composition, options)` is called once for each run of a
multirun. The others read their words themselves: `run(options)`. What `run` returns is the exit code; None is 0.
"""
