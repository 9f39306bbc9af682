"""The audit of a live index: plan, tasks, rows, result, checkpoint."""
