"""Results over time: their stamp, and whether a result is worse than an earlier one."""
