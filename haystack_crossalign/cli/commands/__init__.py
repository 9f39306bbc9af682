"""One command per file: parse the options, call the library, print."""
