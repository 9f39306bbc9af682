"""Published parallel data sets: XQuAD, Belebele, and the sample that ships with the package."""
