"""The form that asks what a model's file does not say: form.py is the whole, the others are its parts, one a modality.

A part has start(facts) -> values of its fields, draw(at) and more(at) that show them, and said(at) -> Facts.
"""
