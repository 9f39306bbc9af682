"""The history of audits: sentences, charts, a page, a CSV file."""
