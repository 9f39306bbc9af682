"""One command a file: parse the options, call the library, print."""
