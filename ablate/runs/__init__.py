"""One run's life: checked, claimed, trained, recorded, and found whole or damaged later.

May import `ablate.training` and what that may import. Knows of no other run but the one it is about.
"""
