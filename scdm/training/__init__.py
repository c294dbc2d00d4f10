"""Training: the only part of the library that knows accelerate."""
