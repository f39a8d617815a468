"""Deployable variants of a model: made once, checked against the eager model, and then measured.

`variants` says what there is and what each depends on; `build` makes and checks them in a process of its own.
"""
