"""Audits: scenarios over a judged collection, their result, comparison of two results and the gate."""
