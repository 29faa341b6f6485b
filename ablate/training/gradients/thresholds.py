"""Where a gradient stops being even: the numbers behind the verdict's words."""

# The first convolution's root mean square divided by the last one's, below and above which the gradient vanishes or
# explodes. README, "Gradient flow", has what they were measured on.
VANISHING, EXPLODING = 1e-2, 1e2
