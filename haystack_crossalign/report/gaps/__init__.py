"""Translation gaps: the section of an audit, and the table of contents and languages."""
