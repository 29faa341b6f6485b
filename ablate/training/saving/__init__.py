"""What a run keeps in its directory: history, checkpoints, and how both get there whole.

Part of `ablate.training`.
"""
