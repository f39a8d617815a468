"""Podium: given a labelled data set, which model do I ship?"""

__version__ = "0.1.0"
