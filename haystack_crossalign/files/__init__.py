"""Files: reading with errors that name file and line, atomic writing, locks."""
