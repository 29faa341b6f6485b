"""The thresholds of the verdict on a gradient."""

# The gradient vanishes or explodes if the first convolution's RMS, divided by the last one's, is below or above these.
# docs/gradients.md says on which networks they were measured.
VANISHING, EXPLODING = 1e-2, 1e2
