"""Dead letters: written by ingest, listed, and sent again."""
