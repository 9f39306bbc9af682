"""Content of reports, independent of their format: findings, tables, charts, words."""
