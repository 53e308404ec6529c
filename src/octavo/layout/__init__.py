"""Where the data lives: the layout, file names, and the codec between rows and JSON."""
