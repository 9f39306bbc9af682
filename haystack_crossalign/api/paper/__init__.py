"""The evaluation of the paper on one page: corpora, pools, several models, and the published figures."""
