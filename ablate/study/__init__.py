"""How many runs become one comparison."""
