"""What a run saves in its directory: history and checkpoints, each file written whole or not at all.

Part of `ablate.training`.
"""
