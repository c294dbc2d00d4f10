"""Semantic image synthesis with stochastic conditional diffusion: from a painted layout to an image."""
