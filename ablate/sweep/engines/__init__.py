"""Where the cells of a sweep are trained."""
