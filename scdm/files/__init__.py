"""Files that may be anything, on their way in and out: images, settings, their colours and levels."""
