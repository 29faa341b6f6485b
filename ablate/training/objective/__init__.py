"""What is minimised, measured and gone by: losses, metrics, and what of them a configuration names."""
