"""The command line: one module for each command, of the same name. May import every other package; none imports it.

A module has `add_arguments(parser)`, for its own flags and words, and `run`. Commands for one composed configuration
(train, describe, check) are Hydra applications: `run(composition, options)` is called for each run of a multirun. The
others parse their words themselves: `run(options)`. `run` returns the exit code; None is 0.
"""
