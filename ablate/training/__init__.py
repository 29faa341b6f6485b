"""How one design is trained: network, data, recipe, and what is recorded of it."""
