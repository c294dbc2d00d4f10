"""A model, its file, and the files of others."""
