"""Commands that make nothing: what there is, what would be made, what is being made."""
