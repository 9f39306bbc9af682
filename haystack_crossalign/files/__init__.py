"""Files: reading with errors that name file and line, writing whole or not at all, locks."""
