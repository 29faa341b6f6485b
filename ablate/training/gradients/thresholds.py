"""Where a gradient stops being even: the numbers behind the verdict's words."""

# The first convolution's root mean square divided by the last one's, below and above which the gradient vanishes or
# explodes. docs/gradients.md has what they were measured on.
VANISHING, EXPLODING = 1e-2, 1e2
