"""The embedded toy world: characters rendered on coloured noise, with nothing to download."""
