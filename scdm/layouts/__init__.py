"""Label maps and palettes, and how layouts are read, fitted, painted, thinned out, translated and shown."""
