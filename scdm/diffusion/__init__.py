"""The process: schedules, labels that diffuse, the denoiser, and what makes, wraps and consumes it."""
