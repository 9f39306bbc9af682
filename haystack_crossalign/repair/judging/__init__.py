"""How a repair is judged beyond the documents that choose its strengths."""
