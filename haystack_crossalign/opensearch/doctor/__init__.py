"""Examinations of a cluster and an index for `crossalign doctor`."""
