"""How one design is trained and watched."""
