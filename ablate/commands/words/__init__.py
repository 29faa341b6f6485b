"""Shared by the commands: running Hydra on their words, and the text of --help."""
