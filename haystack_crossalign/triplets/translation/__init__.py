"""Translating passages with a chat model, checked and cached."""
