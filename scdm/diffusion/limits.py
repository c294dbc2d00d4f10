"""Bounds and names that settings share with what they set. Free of torch, so that `--help` is."""

MOST_GUIDANCE = 100
LABEL_NOISE_KINDS = ("fresh", "coupled", "none")  # the keys of `noise.LABEL_NOISE`
