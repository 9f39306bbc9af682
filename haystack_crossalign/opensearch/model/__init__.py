"""Does the model fit the index? By what the index says, else by embedding a few documents again."""
