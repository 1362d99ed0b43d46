"""What a backup is made of: streams compressed, encrypted and checksummed in one pass, and a manifest."""
