"""What `import ablate` offers to Python: train, load, sweep, compare, export. The commands are thin users of it."""
