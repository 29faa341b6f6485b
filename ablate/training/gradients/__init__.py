"""The gradient of every layer at every step: measured, recorded, judged and drawn.

Part of `ablate.training`.
"""
