"""KFP components, one folder each."""
