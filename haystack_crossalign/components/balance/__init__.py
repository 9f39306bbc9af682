"""Components that balance the languages of a list at query time, without a change of model or index."""
