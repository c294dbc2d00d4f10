"""Bounds and names that settings share with what they set. Free of torch, so that `--help` is."""

MOST_GUIDANCE = 100
CLASSWISE_STEPS = 1000  # class-wise label diffusion counts t in thousandths, whatever the length of the process
LABEL_NOISE_KINDS = ("fresh", "coupled", "none")  # the keys of `noise.LABEL_NOISE`
