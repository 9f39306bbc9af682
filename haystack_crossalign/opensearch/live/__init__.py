"""Retrieved lists, as users get them, and the queries of live audits."""
