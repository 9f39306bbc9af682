"""Results for other tools: OpenMetrics for monitoring, documents for a results index."""
