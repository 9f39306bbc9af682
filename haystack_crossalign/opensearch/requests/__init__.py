"""The team's own searches as live lists: their bodies with placeholders, what they may hold, and how they are sent."""
