"""The user's own searches as retrieved lists: bodies with placeholders, checks of their content, and how they are
sent.
"""
