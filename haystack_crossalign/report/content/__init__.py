"""What a report says, whatever its form: findings, tables, charts, words."""
