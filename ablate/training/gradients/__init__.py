"""Every layer's gradient at every step: measured, recorded, judged and drawn.

Part of `ablate.training`.
"""
