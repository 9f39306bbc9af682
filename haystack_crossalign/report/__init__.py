"""What people and CI servers read of an audit: HTML page, Markdown, terminal text and JUnit XML."""
