"""Is every number the one that this code, these data, this config and these seeds produce?"""
