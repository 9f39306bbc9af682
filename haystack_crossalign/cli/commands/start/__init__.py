"""Commands that come before the first audit: a profile, and an index to audit."""
