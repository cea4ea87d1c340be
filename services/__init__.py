"""One small client per source of songs. Each offers `songs()` and `preview(song)`."""
