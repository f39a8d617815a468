"""Data and models on other machines: whatever fsspec opens, such as s3://, gs://, hf:// and https://."""
