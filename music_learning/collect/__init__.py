"""One small client per outside service, and what they share.

A source of songs offers `seed_artists()`, `related(artist)`, `top_songs(artist)` and `preview_url(song)`; a source of
labels offers `labels_for(songs)`. Each is asked one thing at a time and knows nothing of the others.
"""
