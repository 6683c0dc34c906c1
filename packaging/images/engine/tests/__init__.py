"""Tests of the engine. `python -m unittest discover -t . -s tests` beside
hybridrag.py runs them; see the README there for what each part needs."""
