"""One file a model file format, with FORMAT; finding and opening them is model_zoo/opening.py."""
