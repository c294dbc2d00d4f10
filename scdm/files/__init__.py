"""Untrusted input and output: image files, settings, folders; free of torch but for images as tensors."""
