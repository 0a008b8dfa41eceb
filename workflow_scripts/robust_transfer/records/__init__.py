"""What each job leaves beside its outputs, and the digest of its code."""
