"""Reading the configuration of other mail systems: one file a kind, all pure; reading and writing stand beside them."""
