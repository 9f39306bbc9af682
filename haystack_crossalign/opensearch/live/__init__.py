"""The lists that users get, and the queries that ask for them."""
