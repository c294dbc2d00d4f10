"""`scdm paint`: a page on this computer on which a layout is painted and its image follows."""
