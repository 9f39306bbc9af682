"""Parts of the maps for each language: what recognizes a language, and what is added for it."""
