"""KFP pipelines, one folder each."""
