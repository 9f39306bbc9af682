"""Open common model folders with torch, tokenizers and safetensors alone.

Importing sentence-transformers and transformers takes several seconds of processor time, far more than embedding a
query. A folder that holds nothing but known modules with known settings is opened here, and gives the same vectors;
every other folder, and every damaged one, is left to sentence-transformers.
"""
